"""Which tests run, and their order: what fails fast runs first."""

from __future__ import annotations

import pytest

from support.pairwise import thinned


@pytest.hookimpl(trylast=True)  # of what -k and -m leave, so that a row asked for by name is run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def cost(item: pytest.Item) -> int:
        return 2 if item.get_closest_marker("crash") else 1 if item.get_closest_marker("slow") else 0

    items[:], left_out = thinned(items)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=cost)  # stable: within a class the order of the files stays
