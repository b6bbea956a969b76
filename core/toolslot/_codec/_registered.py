"""The registered classes of one codec: checked when they are registered, and checked again in what their `load` gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from toolslot._codec._text import qualified_name
from toolslot._codec._tree import BUILT_IN
from toolslot._codec._types import TypeCodec
from toolslot._errors import InvalidSetting, UnreadablePayload


def by_class(types: Sequence[TypeCodec[Any]]) -> dict[type, TypeCodec[Any]]:
    """Raises `InvalidSetting` where a class or a name would mean two things."""
    found = {each.cls: each for each in types}
    names = {each.name for each in types}
    if len(found) != len(types) or len(names) != len(types):
        listed = ", ".join(f"{each.name!r} for {qualified_name(each.cls)}" for each in types)
        raise InvalidSetting(
            f"JsonCodec(types=) says twice what a class or a name means: {listed}. Give each class one name of its own."
        )
    built_in = sorted(each.__name__ for each in found.keys() & BUILT_IN)
    if built_in:
        raise InvalidSetting(
            f"JsonCodec(types=) registers {', '.join(built_in)}, which are stored exactly already: leave them out."
        )
    return found


def checked_load(codec: TypeCodec[Any]) -> Callable[[Any], object]:
    """`load` with every failure as `UnreadablePayload`; what it raised is not passed on, for it may quote the data."""
    cls: type[object] = codec.cls

    def load(data: Any) -> object:
        try:
            value: object = codec.load(data)
        except Exception as error:
            raise UnreadablePayload(
                f"stored data of {codec.name!r} was refused by the load= of its TypeCodec, which raised {type(error).__name__}."
            ) from None
        if type(value) is not cls:
            raise UnreadablePayload(
                f"the load= of the TypeCodec {codec.name!r} gave a {qualified_name(type(value))}, not a {qualified_name(cls)}."
            )
        return value

    return load
