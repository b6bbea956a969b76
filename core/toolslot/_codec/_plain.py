"""Which values JSON alone reads back exactly: None, bool, short ints, finite floats, str, and lists and dicts of them."""

from __future__ import annotations

from typing import cast

from toolslot._codec._tags import is_plain_int
from toolslot._codec._tree import too_large


class _NotPlain(Exception):
    pass


def is_plain(value: object, *, max_depth: int, max_bytes: int) -> bool:
    """Whether the value is made of those alone and not too deep (nor in a circle).

    Raises:
        NotStorable: it takes more than `max_bytes`; found out before so much memory is spent.
    """
    try:
        room = _room([value], max_depth + 1, max_bytes)
    except _NotPlain:
        return False
    if room < 0:
        raise too_large(max_bytes)
    return True


def _room(items: list[object] | dict[str, object], levels: int, room: int) -> int:
    """What is left of `room` bytes at most when the items are written; negative as soon as there is too little.

    A flat loop, because every result passes here.
    """
    if levels == 0:
        raise _NotPlain
    if isinstance(items, dict):
        for key in cast("dict[object, object]", items):
            if type(key) is not str:
                raise _NotPlain
            room -= len(key) + 3
        items = list(items.values())
    for item in items:
        room -= 2
        cls = type(item)
        if cls is str:
            room -= len(cast("str", item)) + 1
        elif cls is list or cls is dict:
            room = _room(cast("list[object]", item), levels - 1, room)
            if room < 0:
                break
        elif not (item is None or cls is bool or _is_plain_number(item)):
            raise _NotPlain
    return room


def _is_plain_number(item: object) -> bool:
    if type(item) is int:
        return is_plain_int(item)
    return type(item) is float and item - item == 0.0  # neither infinite nor NaN
