"""Calls as the model issued them: copied before anything can have written into them, their arguments as a checkpoint gives them back.

A live run holds what the model's class made (tuples, pydantic objects, half a surrogate pair); a resume holds what LangGraph's saver
reads back. Both must be the same call.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast
from uuid import UUID

from langchain_core.messages import AIMessage, ToolCall
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

T = TypeVar("T")


class _Beside(Generic[T]):
    """Something kept for an object as long as that lives. Objects are told by what they are, not by what they equal."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[weakref.ref[Any], T]] = {}

    def get(self, anchor: object) -> T | None:
        held = self._held.get(id(anchor))
        return held[1] if held is not None and held[0]() is anchor else None

    def put(self, anchor: object, value: T) -> None:
        self._held[id(anchor)] = weakref.ref(anchor, partial(self._forget, id(anchor))), value

    def _forget(self, name: int, gone: weakref.ref[Any]) -> None:
        # Without waiting for a lock: the collector may run this in any thread, at any line.
        held = self._held.get(name)
        if held is not None and held[0] is gone:
            self._held.pop(name, None)


#: calls by the objects they are, and what they were
_Copies: TypeAlias = "dict[int, tuple[ToolCall, ToolCall]]"
#: when they were first looked at, by the message or the task they belong to
_known: _Beside[_Copies] = _Beside()
#: when the model answered, by its message
_at_answer: _Beside[_Copies] = _Beside()
_lock = threading.RLock()


def issued(
    calls: Sequence[ToolCall], anchor: object, serde: SerializerProtocol | None = None
) -> list[ToolCall]:
    """The calls as they were when they were first given with this anchor, with arguments in normal form.

    `anchor` is what they belong to, the model's message or the task that runs them: a wrapper that changes its call's arguments in place,
    and a node that is tried again, meet the same objects. Nothing is kept longer than the anchor lives.
    """
    with _lock:
        before = _known.get(anchor) or {}
        with suppress(KeyError):
            return [before[id(call)][1] for call in calls]
        now = {id(call): before.get(id(call)) or (call, _copied(call, serde)) for call in calls}
        if not now.keys() <= before.keys():
            # Beside those of other entrances of the task, each of which may be given with some of its calls.
            _known.put(anchor, {**before, **now})
        return [now[id(call)][1] for call in calls]


def answered(message: AIMessage) -> None:
    """Remember what the model has answered: those that run the calls may see them after others have written into them."""
    if message.tool_calls:
        _at_answer.put(message, {id(call): (call, _copied(call, None)) for call in message.tool_calls})


def changed(message: AIMessage) -> bool:
    """Whether somebody has written into calls since the model answered, and they have not been looked at: a wrapper, whose changes are not
    the call's, or what ran before the tools did, whose changes are.
    """
    then = _at_answer.get(message)
    if then is None or _known.get(message) is not None:
        return False
    both = [(call, then.get(id(call), (call, None))[1]) for call in message.tool_calls]
    return any(copied is not None and normal(call["args"]) != copied["args"] for call, copied in both)


def settle(message: AIMessage, saved: AIMessage | None, serde: SerializerProtocol | None) -> None:
    """Take the calls for what the checkpoint has, and a resume will find; or for what the model answered, if it does not have them."""
    theirs = saved.tool_calls if saved is not None else []
    if [call["id"] for call in theirs] != [call["id"] for call in message.tool_calls]:
        then = _at_answer.get(message) or {}
        theirs = [then.get(id(call), (call, call))[1] for call in message.tool_calls]
    with _lock:
        if _known.get(message) is None:
            pairs = zip(message.tool_calls, theirs, strict=True)
            _known.put(message, {id(call): (call, _copied(their, serde)) for call, their in pairs})


def _copied(call: ToolCall, serde: SerializerProtocol | None) -> ToolCall:
    return {**call, "args": normal(call["args"], serde)}


# --- arguments in normal form -------------------------------------------------------------------------------------------


class _NotJson(Exception):
    pass


def normal(args: Mapping[str, Any], serde: SerializerProtocol | None = None) -> dict[str, Any]:
    """A copy of the arguments that is the same before they went through a checkpoint and after: as the saver's serializer writes them, with
    plain data for every class but a few of the standard library. Plain JSON is copied as it is.

    What a serializer cannot write is copied as it is: no saver gives it back as anything else.
    """
    try:
        return cast("dict[str, Any]", _json(args, _DEEPEST))
    except (_NotJson, UnicodeEncodeError):
        pass
    try:
        return _plain(_through(args, serde))
    except Exception:
        return _as_it_is(args)


def _json(value: object, levels: int) -> object:
    """A copy, if it is made of what JSON holds alone and every serializer gives back as it was."""
    cls = type(value)
    if cls is str:
        if not cast("str", value).isascii():
            cast("str", value).encode()  # half a surrogate pair cannot be
        return value
    if value is None or cls is int or cls is bool or cls is float:
        return value
    if levels == 0:
        raise _NotJson
    if cls is dict:
        items = cast("dict[object, object]", value).items()
        if not all(type(key) is str and (key.isascii() or key.encode()) for key, _ in items):
            raise _NotJson
        return {key: _json(item, levels - 1) for key, item in items}
    if cls is list:
        return [_json(item, levels - 1) for item in cast("list[object]", value)]
    raise _NotJson


_DEEPEST: Final = 100


def _through(args: Mapping[str, Any], serde: SerializerProtocol | None) -> Mapping[str, Any]:
    """What a saver makes of them that has a serializer of the user's own. What LangGraph's makes of them is in `_plain`."""
    while isinstance(serde, EncryptedSerializer):
        serde = serde.serde
    if serde is None or type(serde) is JsonPlusSerializer:
        return args
    back: Any = serde.loads_typed(serde.dumps_typed(_message(args)))
    return cast("Mapping[str, Any]", back.tool_calls[0]["args"])


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    # As part of a message, which is written as plain data first: sent as a call of its own, an object would stay one.
    written: Any = _message(args).model_dump()["tool_calls"][0]["args"]
    kind, data = _serializer.dumps_typed(written)
    return cast("dict[str, Any]", _serializer.loads_typed((kind, data)))


def _message(args: Mapping[str, Any]) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "", "args": dict(args), "id": ""}])


def _as_it_is(args: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return copy.deepcopy(dict(args))
    except Exception:  # of a class that cannot be copied
        return dict(args)


def _made(code: int, data: bytes) -> object:
    """An object that the serializer has written: made again if it is of the standard library and has no order, or is exact in the journal;
    else the data that it was written as, whatever a saver is allowed to make of them.
    """
    parts: Any = _serializer.loads_typed(("msgpack", data))
    if code not in _OBJECTS:
        return parts
    module, name, value, *_ = parts
    make = _EXACT.get((module, name))
    return value if make is None else make(value)


#: LangGraph's numbers for objects with their class beside their data; the others are arrays and the like
_OBJECTS = range(6)

_EXACT: Mapping[tuple[str, str], Callable[[Any], object]] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("uuid", "UUID"): UUID,
    ("decimal", "Decimal"): Decimal,
    ("datetime", "datetime"): datetime.fromisoformat,
    ("datetime", "date"): lambda parts: date(*parts),
    ("datetime", "time"): lambda parts: time(**parts),
    ("datetime", "timedelta"): lambda parts: timedelta(*parts),
    ("datetime", "timezone"): lambda parts: timezone(*parts),
}

_serializer = JsonPlusSerializer(
    pickle_fallback=False,
    allowed_json_modules=None,
    allowed_msgpack_modules=None,
    __unpack_ext_hook__=_made,
)
