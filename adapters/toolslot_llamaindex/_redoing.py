"""Recorded changes of the workflow's state, made again on values that may be others than those that were changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from toolslot import Codec, UnreadablePayload
from toolslot_llamaindex._edits import MISSING, Change, Edit, Missing, digest, look, sum_of


def changed(current: object, change: Change, codec: Codec) -> Any:
    """What becomes of the value by this change; the value itself stays as it is. `MISSING` for nothing, before and after.

    Where the value is of another kind than the one that was changed, what the change added is all there is.

    Raises:
        UnreadablePayload: the change is damaged, or holds a value that cannot be made again here.
    """
    kind = change[0]
    if kind == "~":
        return current
    if kind == "=":
        return _value(change[1], codec)
    if kind == "-":
        return MISSING
    if kind == "+":
        more = sum_of(current, change[1]) if type(current) is type(change[1]) else None
        return change[1] if more is None else more
    if kind == "d":
        return _changed_dict(cast("Any", current), *change[1:], codec=codec)
    if kind == "l":
        items = list(cast("list[Any]", current)) if type(current) is list else []
        return _changed_list(items, change, codec)
    if kind == "s":
        members = set(cast("set[Any]", current)) if type(current) is set else set[Any]()
        return members.union(map(codec.decode, change[1])).difference(map(codec.decode, change[2]))
    raise UnreadablePayload("a recorded change of the workflow's state is of a kind that is not known here.")


def _value(flat: Any, codec: Codec) -> Any:
    if isinstance(flat, dict):
        return {key: _value(item, codec) for key, item in cast("dict[Any, Any]", flat).items()}
    if isinstance(flat, list):
        return [_value(item, codec) for item in cast("list[Any]", flat)]
    if isinstance(flat, set):
        return {codec.decode(item) for item in cast("set[bytes]", flat)}
    return codec.decode(flat)


def _changed_dict(
    current: Any, changes: Mapping[Any, Change], order: Sequence[Any] = (), *, codec: Codec
) -> dict[Any, Any]:
    items: dict[Any, Any] = dict(cast("dict[Any, Any]", current)) if type(current) is dict else {}
    for key, change in changes.items():
        found = changed(items.get(key, MISSING), change, codec)
        if isinstance(found, Missing):
            items.pop(key, None)
        else:
            items[key] = found
    return {key: items[key] for key in {**dict.fromkeys(order), **items} if key in items}


def _changed_list(items: list[Any], change: Change, codec: Codec) -> list[Any]:
    _, first, gone, come, last, inner = change
    for index, each in inner.items():
        if index < len(items):
            items[index] = changed(items[index], each, codec)
    if last == 0:
        place = max(len(items) - len(gone), 0)  # at the end, wherever that is now
    else:
        place = min(first, len(items))
    for seen in gone:
        found = _place_of(seen, items, place, codec)
        if found is not None:
            del items[found]
            place = min(place, found) if last else len(items)
    if last == 0 and not gone:
        place = len(items)
    items[place:place] = [_value(item, codec) for item in come]
    return items


def _place_of(seen: object, items: list[Any], near: int, codec: Codec) -> int | None:
    """Where the item is: at or after `near` if it is there, else anywhere."""
    for index in (*range(near, len(items)), *range(near)):
        if digest(look(items[index], codec)) == seen:
            return int(index)
    return None


def settled(current: object, edit: Edit, codec: Codec) -> Any:
    """What becomes of the value at the edit's key.

    Where it is what it was when the edit was made, then what it became; else what the call had changed of what it had seen.
    """
    if (
        edit.exact is not None
        and digest(MISSING if isinstance(current, Missing) else look(current, codec)) == edit.before
    ):
        return changed(current, edit.exact, codec)
    return changed(current, edit.change, codec)


def left(edits: list[Edit], values: Mapping[str, object], codec: Codec) -> list[Edit]:
    """Those of the edits that a state does not hold yet which may have been stored after some of them: of each key the later ones."""
    here: dict[str | None, bytes] = {}
    for key in {edit.key for edit in edits} - {None}:
        value = values.get(cast("str", key), MISSING)
        here[key] = digest(MISSING if isinstance(value, Missing) else look(value, codec))
    reached = {edit.key: edit.number for edit in edits if edit.after == here.get(edit.key)}
    return [edit for edit in edits if edit.number > reached.get(edit.key, -1)]
