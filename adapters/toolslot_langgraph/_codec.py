"""How the outputs of a ToolNode become bytes and come back: messages, commands, lists of both. No pickle, no import by name from data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeAlias, cast

from langchain_core.messages import ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command

from toolslot import InvalidSetting, NotStorable, UnreadablePayload
from toolslot_langgraph._msgpack import msgpack_exceeds
from toolslot_langgraph._saver_types import made_by_saver

#: a class, or its module and name
AllowedType: TypeAlias = "type | tuple[str, str]"

_FORMAT = 1
_MESSAGE, _COMMAND, _LIST, _TO_PARENT, _PLAIN = "message", "command", "list", "to_parent", "plain"
#: of a user's own class
_OWN_MESSAGE = "own_message"
#: an update that is a state object, where others have whether they are pairs
_STATE = "state"


@dataclass(frozen=True, slots=True)
class ToParent:
    """An answer that is a command to the parent graph, raised as an exception: the way a nested graph hands over."""

    command: Command[Any]


class MessageNotStorable(NotStorable):
    """A message that cannot be written whole. `text` is what the model saw of it: that much can always be kept."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


class LangGraphCodec:
    """Stores what a tool node returns.

    Text, content blocks, artifacts of JSON types, bytes, sets, dates, UUIDs, Decimals, paths, messages, documents and commands come back
    as they were. Tuples come back as lists, exceptions as their text. Objects of other classes (enums, dataclasses, pydantic models) come
    back as themselves in a graph whose saver would make them again (with `allowed_msgpack_modules`, or without that setting), and where
    their class is allowed here; elsewhere as plain data. What cannot be written at all is kept as text and marked "not storable".

    Args:
        allowed_types: Classes that may be made again from stored data, as classes or as (module, name). Anybody who can write the journal
            can have them called with arguments of his choice, so name none whose constructor acts.

    Raises:
        InvalidSetting: an item is neither.
    """

    name = "langgraph/1"

    def __init__(self, allowed_types: Iterable[AllowedType] = ()) -> None:
        self._allowed = frozenset(_key(item) for item in allowed_types)
        self._serializer = _serializer(self._allowed)

    def encode(self, value: object) -> bytes:
        """The bytes of an output.

        Raises:
            NotStorable: something in it cannot be written, or would come back as something else than promised.
        """
        try:
            data = self._dump(value)
            if msgpack_exceeds(data):
                raise NotStorable(
                    f"a {type(value).__name__} cannot be stored: it has millions of parts or hundreds of levels. Return less (a path or an"
                    " id instead of the contents)."
                )
            if not _is_simple(value) and not self._comes_back(value, data):
                raise NotStorable(
                    f"a {type(value).__name__} would not come back as it was; name its classes in allowed_types="
                )
        except Exception as error:
            why = (
                str(error)
                if isinstance(error, NotStorable)
                else f"a {type(value).__name__} cannot be stored: {type(error).__name__}"
            )
            if isinstance(value, ToolMessage):
                raise MessageNotStorable(why, str(value.text)) from error
            raise NotStorable(why) from error
        return data

    def decode(self, data: bytes) -> object:
        """The output, as a new object at each call.

        Raises:
            UnreadablePayload: the bytes are damaged, of another format, or have more parts or levels than anything that is stored.
        """
        if msgpack_exceeds(data):
            raise UnreadablePayload(
                f"{len(data)} bytes of a {self.name} payload have more parts or levels than are allowed."
            )
        return self._load(data)

    def _load(self, data: bytes) -> object:
        try:
            serializer = _serializer(self._allowed | made_by_saver(data))
            stored: Any = serializer.loads_typed(("msgpack", data))
        except Exception as error:
            raise UnreadablePayload(
                f"{len(data)} bytes are no {self.name} payload: {type(error).__name__}"
            ) from error
        parts = cast("list[Any]", stored) if isinstance(stored, list) else []
        if len(parts) != 3 or parts[0] != _FORMAT:
            raise UnreadablePayload(
                f"{len(data)} bytes are no {self.name} payload: its header is missing or of another version"
            )
        try:
            return _unpack(parts[1], parts[2])
        except UnreadablePayload:
            raise
        except Exception as error:
            raise UnreadablePayload(
                f"a stored output cannot be made again: {type(error).__name__}"
            ) from error

    def _dump(self, value: object) -> bytes:
        kind, data = self._serializer.dumps_typed([_FORMAT, *_pack(value)])
        if kind != "msgpack":
            raise NotStorable(f"LangGraph's serializer chose {kind!r} instead of msgpack")
        return data

    def _comes_back(self, value: object, data: bytes) -> bool:
        try:
            return self._kept(value, self._load(data))
        except UnreadablePayload:
            return False

    # --- is it what it was? ---------------------------------------------------------------------------------------------

    def _kept(self, a: object, b: object) -> bool:
        """Whether `b`, read back, is what was promised for `a`."""
        if isinstance(a, ToParent):
            return isinstance(b, ToParent) and self._kept(a.command, b.command)
        if type(a) is ToolMessage:
            return type(b) is ToolMessage and self._kept(_fields(a), _fields(b))
        if isinstance(a, ToolMessage):
            return isinstance(b, ToolMessage)
        if type(a) is Command:
            return type(b) is Command and self._kept_command(cast("Command[Any]", a), cast("Command[Any]", b))
        return self._kept_data(a, b)

    def _kept_command(self, a: Command[Any], b: Command[Any]) -> bool:
        # A state object as the update stays one, or is refused: LangGraph asks its class which fields to write.
        return (
            self._kept(cast("object", a.update), b.update)
            and self._kept(a.goto, b.goto)
            and self._kept(a.resume, b.resume)
        )

    def _kept_data(self, a: object, b: object) -> bool:
        cls = type(a)
        if (cls.__module__, cls.__name__) in self._allowed:
            return type(b) is cls
        if a is None or (isinstance(a, (bool, int, bytes)) and not isinstance(a, Enum)):
            return a == b
        if isinstance(a, float):
            return a == b or (math.isnan(a) and isinstance(b, float) and math.isnan(b))
        if isinstance(a, str) and not isinstance(a, Enum):
            return isinstance(b, str)  # lone surrogates are replaced
        if isinstance(a, dict):
            return isinstance(b, dict) and self._kept_items(
                cast("dict[Any, Any]", a).items(), cast("dict[Any, Any]", b).items()
            )
        if isinstance(a, (list, tuple)) and not hasattr(cast("object", a), "_fields"):
            return isinstance(b, (list, tuple)) and self._kept_items(
                cast("Iterable[Any]", a), cast("Iterable[Any]", b)
            )
        return type(b) is cls or self._kept_as_plain(cast("object", a), b)

    def _kept_items(self, a: Iterable[Any], b: Iterable[Any]) -> bool:
        left, right = list(a), list(b)
        return len(left) == len(right) and all(self._kept(x, y) for x, y in zip(left, right, strict=True))

    def _kept_as_plain(self, a: object, b: object) -> bool:
        if isinstance(a, Enum):
            return self._kept(a.value, b)
        if isinstance(a, BaseException):
            return isinstance(b, str)
        if isinstance(a, (bytearray, memoryview)):
            return isinstance(b, bytes)
        if hasattr(a, "_fields"):
            return isinstance(b, (dict, list))  # in a message it is a list
        return isinstance(b, dict) and (hasattr(a, "model_dump") or is_dataclass(a))


@lru_cache(maxsize=64)
def _serializer(allowed: frozenset[tuple[str, str]]) -> JsonPlusSerializer:
    # Explicit in all three: the defaults of this class depend on the environment, and permit any class at all.
    return JsonPlusSerializer(
        pickle_fallback=False,
        allowed_json_modules=None,
        allowed_msgpack_modules=tuple(allowed) or None,
    )


def _is_simple(value: object) -> bool:
    """Nothing in it can get lost: worth asking, for most results are such, and reading back costs as much as writing."""
    if type(value) is not ToolMessage:
        return False
    return (
        type(value.content) is str
        and value.artifact is None
        and not value.additional_kwargs
        and not value.response_metadata
    )


# --- packing: [tag, body], from which the very same kind of output is made again --------------------------------------------


def _pack(value: object) -> list[Any]:
    if type(value) is ToolMessage:
        # Field by field: as a message it would be reduced to plain data first, and allowed classes in its artifact with it.
        return [_MESSAGE, _fields(value)]
    if isinstance(value, ToolMessage):
        return [_OWN_MESSAGE, value]
    if type(value) is Command:
        return [_COMMAND, _command(cast("Command[Any]", value))]
    if isinstance(value, ToParent):
        return [_TO_PARENT, _command(value.command)]
    if isinstance(value, list) and any(
        isinstance(item, (ToolMessage, Command)) for item in cast("list[object]", value)
    ):
        return [_LIST, [_pack(item) for item in cast("list[object]", value)]]
    return [_PLAIN, value]


def _fields(message: ToolMessage) -> dict[str, Any]:
    return {**message.__dict__, **(message.model_extra or {})}


def _command(command: Command[Any]) -> list[Any]:
    update: Any = command.update
    kind: bool | str = _STATE
    if update is None or isinstance(update, dict):
        kind = False
    elif isinstance(update, (list, tuple)):
        kind = _are_pairs(cast("Iterable[object]", update))
    goto: Any = command.goto
    shape = "tuple" if isinstance(goto, tuple) else "list" if isinstance(goto, list) else "one"
    return [command.graph, kind, update, command.resume, shape, goto]


def _are_pairs(items: Iterable[object]) -> bool:
    found = list(items)
    return bool(found) and all(
        isinstance(item, tuple) and len(cast("tuple[object, ...]", item)) == 2 for item in found
    )


def _unpack(tag: object, body: Any) -> object:
    if tag == _MESSAGE:
        return ToolMessage(**body)
    if tag == _OWN_MESSAGE:
        return body if isinstance(body, ToolMessage) else ToolMessage(**body)
    if tag == _COMMAND:
        return _make_command(body)
    if tag == _TO_PARENT:
        return ToParent(_make_command(body))
    if tag == _LIST:
        return [_unpack(*item) for item in body]
    if tag == _PLAIN:
        return body
    raise UnreadablePayload(
        "a stored output has a tag that this version does not know; it may be from a newer one"
    )


def _make_command(body: Any) -> Command[Any]:
    graph, kind, update, resume, shape, goto = body
    if kind == _STATE and isinstance(update, (dict, list)):
        raise UnreadablePayload(
            "a stored command has a state object as its update, whose class may not be made again: name it in allowed_types=, or in the"
            " allowed_msgpack_modules of your checkpointer's serializer. The call is done and does not run again."
        )
    return Command(
        # ToolNode compares by identity.
        graph=Command.PARENT if graph == Command.PARENT else graph,
        update=[tuple(item) for item in update] if kind is True else update,
        resume=resume,
        # msgpack knows lists only.
        goto=tuple(goto) if shape == "tuple" else goto,
    )


def _key(item: AllowedType) -> tuple[str, str]:
    if isinstance(item, type):
        return item.__module__, item.__name__
    if isinstance(item, tuple) and len(item) == 2 and all(isinstance(part, str) for part in item):  # pyright: ignore[reportUnnecessaryIsInstance]
        return item
    raise InvalidSetting(f"allowed_types: {item!r} is neither a class nor a (module, name) pair.")
