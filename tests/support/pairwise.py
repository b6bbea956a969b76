"""A few rows of a product of parameters, such that every pair of their values still occurs.

A fault mostly needs one value, or two that meet: a door and a mode, a mode and a durability. A test whose parameters are a product is
marked `pairwise`. Of its rows `make test` runs so many that every two values that meet in some row meet in one that is run; `make nightly`
runs all. A test with two parameters keeps every row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations

import pytest

from support.nightly import NIGHTLY

Row = Mapping[str, Hashable]


def pairs(row: Row) -> set[tuple[object, ...]]:
    """Every two values of a row; of a row with one value, that one."""
    values = sorted(row.items(), key=lambda item: item[0])
    return set(combinations(values, min(2, len(values))))


def all_pairs(rows: Sequence[Row]) -> list[int]:
    """Where the rows stand that are needed.

    Each time the row with the most pairs that no chosen row has, of such rows the one whose values were chosen least, of these the first.
    """
    missing = [pairs(row) for row in rows]
    used: Counter[tuple[str, Hashable]] = Counter()
    chosen: list[int] = []
    while any(missing):
        best = max(
            range(len(rows)),
            key=lambda i: (len(missing[i]), -sum(used[value] for value in rows[i].items()), -i),
        )
        chosen.append(best)
        used.update(rows[best].items())
        had = set(missing[best])
        missing = [left - had for left in missing]
    return sorted(chosen)


def parameters(item: pytest.Item) -> Row:
    """The values of a test, each as the object it is: they need not be hashable, and True is another value than 1."""
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else {name: id(value) for name, value in callspec.params.items()}


def thinned(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests to run and those to leave out, both in their order."""
    products: dict[str, list[pytest.Item]] = {}
    run: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        marked = not NIGHTLY and item.get_closest_marker("pairwise") is not None and bool(parameters(item))
        name = item.nodeid.partition("[")[0] if marked else item.nodeid
        products.setdefault(name, []).append(item)
    for tests in products.values():
        needed = set(all_pairs([parameters(test) for test in tests])) if len(tests) > 1 else {0}
        for i, test in enumerate(tests):
            (run if i in needed else left_out).append(test)
    return run, left_out
