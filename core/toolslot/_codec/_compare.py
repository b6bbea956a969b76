"""Whether the value read back is the value written: same types all the way down, NaN equal to itself, -0.0 not equal to 0.0."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias, cast
from uuid import UUID

#: compares two values of one type that is not built in
Other: TypeAlias = Callable[[Any, Any], bool]

_BY_EQUALITY = frozenset({bool, bytearray, bytes, date, int, str, timedelta, type(None), UUID})
_MISSING = object()


def difference(a: object, b: object, other: Other) -> str | None:
    """None when the values are the same, else where they first differ ("" for the values themselves, else like " > item 3").

    Dicts must also agree in order. Of an aware datetime the wall clock time, the fold and the offset count, not the class of its zone.
    """
    cls = type(a)
    if type(b) is not cls:
        return ""
    if cls in _BY_EQUALITY:
        return None if a == b else ""
    compare = _COMPARE.get(cls)
    if compare is not None:
        return compare(a, b, other)
    return None if other(a, b) else ""


def _by_text(a: object, b: object, _: Other) -> str | None:
    """Of floats, complexes and Decimals: unlike `==`, the text knows NaN, the sign of zero and trailing zeros."""
    return None if repr(a) == repr(b) else ""


def _moments(a: Any, b: Any, _: Other) -> str | None:
    same_clock = a.replace(tzinfo=None) == b.replace(tzinfo=None) and a.fold == b.fold
    same_zone = (a.tzinfo is None) == (b.tzinfo is None) and a.utcoffset() == b.utcoffset()
    return None if same_clock and same_zone else ""


def _sequences(a: Any, b: Any, other: Other) -> str | None:
    return "" if len(a) != len(b) else _items(a, b, other, "item")


def _dicts(a: dict[object, object], b: dict[object, object], other: Other) -> str | None:
    if len(a) != len(b):
        return ""
    in_keys = _items(a, b, other, "key")
    return in_keys if in_keys is not None else _items(a.values(), b.values(), other, "value")


def _sets(a: Any, b: Any, other: Other) -> str | None:
    twins = {item: item for item in b}
    pairs = [(item, twins.pop(item, _MISSING)) for item in a]
    # An item with a NaN in it never finds its twin by hash, nor does a datetime of a repeated hour in a named zone.
    alone = sorted((item for item, twin in pairs if twin is _MISSING), key=_order)
    pairs = [pair for pair in pairs if pair[1] is not _MISSING]
    if len(alone) != len(twins):
        return ""
    pairs.extend(zip(alone, sorted(twins.values(), key=_order), strict=True))
    return None if all(difference(item, twin, other) is None for item, twin in pairs) else ""


def _order(item: Any) -> str:
    """The same for items that are the same, so that sorting puts them side by side; mostly different for others."""
    cls = type(cast("object", item))
    if cls is frozenset:
        return "{" + ",".join(sorted(map(_order, item))) + "}"
    if cls is tuple:
        return "(" + ",".join(map(_order, item)) + ")"
    if cls is datetime or cls is time:
        return f"{item.isoformat()}/{item.fold}"
    return repr(item)


def _items(a: Iterable[object], b: Iterable[object], other: Other, kind: str) -> str | None:
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        found = difference(x, y, other)
        if found is not None:
            return f" > {kind} {i}{found}"
    return None


_COMPARE: dict[type, Callable[[Any, Any, Other], str | None]] = {
    float: _by_text,
    complex: _by_text,
    Decimal: _by_text,
    datetime: _moments,
    time: _moments,
    list: _sequences,
    tuple: _sequences,
    dict: _dicts,
    set: _sets,
    frozenset: _sets,
}
