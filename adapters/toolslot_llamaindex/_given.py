"""What the caller gives to a run, copied when it is given: the framework writes into messages and states, and they may be given again."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from llama_index.core.llms import ChatMessage
from llama_index.core.workflow import StartEvent

T = TypeVar("T")

_MESSAGES = ("user_msg", "chat_history")


def own_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `run` with messages of our own in the place of the caller's."""
    return tuple(map(_own, args)), {name: _own(value) for name, value in kwargs.items()}


def _own(value: Any) -> Any:
    if isinstance(value, ChatMessage):
        return copied(value)
    if isinstance(value, list):
        return [_own(item) for item in cast("list[Any]", value)]
    if isinstance(value, StartEvent):
        new = value.model_copy()
        # Of the rest, as of the memory, there is only one.
        cast("Any", new)._data = {
            name: _own(held) if name in _MESSAGES else held for name, held in value.items()
        }
        return new
    return value


def copied(value: T) -> T:
    """A deep copy; of a value with parts that cannot be copied, such as an open file, one that shares these."""
    try:
        return copy.deepcopy(value)
    except Exception:  # objects of other people's, as of a provider's SDK
        return cast("T", _with_new_parts(value))


def _with_new_parts(value: Any) -> Any:
    if isinstance(value, ChatMessage):
        blocks = [block.model_copy() for block in value.blocks]
        return value.model_copy(update={"blocks": blocks, "additional_kwargs": dict(value.additional_kwargs)})
    if isinstance(value, dict):
        return {key: copied(item) for key, item in cast("dict[Any, Any]", value).items()}
    return [copied(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value
