"""Changes of the workflow's state, found between two looks at a value. Pure.

A look at a value is a tree: dicts and lists as they are, everything else as its bytes. So it stays what it was, whatever becomes of the
value. A change says what is different: ["=", bytes] put there, ["-"] removed, ["+", number] added, ["d", {key: change}] within a dict, with
its keys in their order where that changed too,
["l", first, removed, items, last, {index: change}] within a list, ["s", added, removed] within a set, ["~"] nothing, ["x"] all of the
state cleared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from typing import Any, TypeAlias, cast

from toolslot import Codec, JsonCodec

#: what was seen of a value
Tree: TypeAlias = "dict[Any, Any] | list[Any] | bytes | Number | Members"
Change: TypeAlias = "list[Any]"

_PLAIN = JsonCodec()
_KEYS = (str, int, bytes, bool, float, type(None))


class Missing:
    """Stands where nothing is."""


MISSING = Missing()


class Number(bytes):
    """The bytes of a number, to which another may be added."""

    value: int | float | Decimal


class Members(frozenset[bytes]):
    """The bytes of a set's members."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One change that a call made.

    Attributes:
        number: Its place among the changes of all calls of the turn.
        key: At the top level of the state; None for all of it.
        change: What is different from what the call had seen last.
        before: A digest of what was there when it was made.
        after: A digest of what was there then.
        exact: What is different from what was there before, where that is not what the call had seen: a sibling had written meanwhile.
    """

    number: int
    key: str | None
    change: Change
    before: bytes = b""
    after: bytes = b""
    exact: Change | None = None


def look(value: object, codec: Codec, inside: tuple[int, ...] = ()) -> Any:
    """The tree of a value. `codec` must be able to write every value, one that holds itself too."""
    kind: type = type(value)
    if kind in (dict, list) and id(value) not in inside:
        inside = (*inside, id(value))
        if kind is list:
            return [look(item, codec, inside) for item in cast("list[Any]", value)]
        pairs = cast("dict[Any, Any]", value)
        if all(type(key) in _KEYS for key in pairs):
            return {key: look(item, codec, inside) for key, item in pairs.items()}
    if kind is set:
        return Members(codec.encode(item) for item in cast("set[Any]", value))
    if kind in (int, float, Decimal):
        number = Number(codec.encode(value))
        number.value = cast("Any", value)
        return number
    return codec.encode(value)


def digest(tree: Any) -> bytes:
    """Eight bytes that differ where the trees do."""
    return hashlib.sha256(_PLAIN.encode(_flat(tree))).digest()[:8]


def _flat(tree: Any) -> Any:
    if isinstance(tree, Missing):
        return None
    if isinstance(tree, dict):
        pairs = [[repr(key), _flat(item)] for key, item in cast("dict[Any, Any]", tree).items()]
        return ["d", sorted(pairs, key=lambda pair: cast("str", pair[0]))]
    if isinstance(tree, list):
        return ["l", [_flat(item) for item in cast("list[Any]", tree)]]
    if isinstance(tree, Members):
        return ["s", sorted(tree)]
    return bytes(tree)


# --- finding ------------------------------------------------------------------------------------------------------------


def difference(old: Any, new: Any) -> Change | None:
    """What became of `old`; None when it is the same."""
    if isinstance(new, Missing):
        return None if isinstance(old, Missing) else ["-"]
    if isinstance(old, Missing):
        # Something new to add to: what two calls begin at once becomes one.
        old = (
            {}
            if isinstance(new, dict)
            else []
            if isinstance(new, list)
            else Members()
            if isinstance(new, Members)
            else old
        )
        if old == new:
            return put(new)
    if isinstance(old, dict) and isinstance(new, dict):
        return _within_dict(cast("dict[Any, Any]", old), cast("dict[Any, Any]", new))
    if isinstance(old, list) and isinstance(new, list):
        return _within_list(cast("list[Any]", old), cast("list[Any]", new))
    if isinstance(old, Members) and isinstance(new, Members):
        added, removed = sorted(new - old), sorted(old - new)
        return ["s", added, removed] if added or removed else None
    if old == new:
        return None
    if isinstance(old, Number) and isinstance(new, Number) and type(old.value) is type(new.value):
        more = sum_of(new.value, -old.value)
        # Not so for a sum of floats that rounds, nor for NaN.
        if more is not None and _PLAIN.encode(sum_of(old.value, more)) == bytes(new):
            return ["+", more]
    return put(new)


def put(tree: Any) -> Change:
    """The change that puts this there, whatever was there before."""
    return ["=", _flat_value(tree)]


def sum_of(a: Any, b: Any) -> Any:
    """Of two numbers of one type; None for infinities that have none."""
    try:
        return a + b
    except ArithmeticError:
        return None


def at(keys: list[str], change: Change) -> Change:
    """The change, made at the end of a path through dicts."""
    for key in reversed(keys):
        change = ["d", {key: change}]
    return change


def _flat_value(tree: Any) -> Any:
    """A tree as built-in values, of which `_value` makes the value again."""
    if isinstance(tree, dict):
        return {key: _flat_value(item) for key, item in cast("dict[Any, Any]", tree).items()}
    if isinstance(tree, Members):
        return set(tree)
    if isinstance(tree, list):
        return [_flat_value(item) for item in cast("list[Any]", tree)]
    return bytes(tree)


def _within_dict(old: dict[Any, Any], new: dict[Any, Any]) -> Change | None:
    found = {key: difference(old.get(key, MISSING), new.get(key, MISSING)) for key in {**old, **new}}
    changes = {key: change for key, change in found.items() if change is not None}
    if not changes:
        return None
    order = [key for key in found if key in new]
    return ["d", changes] if order == list(new) else ["d", changes, list(new)]


def _within_list(old: list[Any], new: list[Any]) -> Change | None:
    if old == new:
        return None
    first = _in_common(old, new)
    last = _in_common(old[first:][::-1], new[first:][::-1])
    gone, come = old[first : len(old) - last], new[first : len(new) - last]
    inner: dict[int, Change] = {}
    if len(gone) == len(come):
        # Items were changed, not exchanged.
        for i, (a, b) in enumerate(zip(gone, come, strict=True)):
            change = difference(a, b)
            if change is not None:
                inner[first + i] = change
        gone, come = [], []
    return ["l", first, [digest(item) for item in gone], [_flat_value(item) for item in come], last, inner]


def _in_common(a: list[Any], b: list[Any]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def parts_of(change: Any) -> Iterator[bytes]:
    """The bytes of all values in a change."""
    if isinstance(change, bytes):
        yield change
    elif isinstance(change, dict):
        for item in cast("dict[Any, Any]", change).values():
            yield from parts_of(item)
    elif isinstance(change, (list, set)):
        for item in cast("list[Any] | set[Any]", change):
            yield from parts_of(item)


def pack(edit: Edit) -> bytes:
    return _PLAIN.encode([edit.number, edit.key, edit.change, edit.before, edit.after, edit.exact])


def unpack(data: bytes) -> Edit:
    """The edit; raises whatever damaged data makes it raise."""
    number, key, change, before, after, exact = cast("list[Any]", _PLAIN.decode(data))
    return Edit(number=number, key=key, change=change, before=before, after=after, exact=exact)
