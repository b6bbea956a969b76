"""How the answers of tools become bytes and come back. No pickle, no import by name from data."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, cast

from llama_index.core.tools import ToolOutput
from llama_index.core.workflow import Event
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from toolslot import Codec, NotStorable, UnreadablePayload
from toolslot.hosting import MAX_WEIGHT, quoted, weight_exceeds
from toolslot_llamaindex._edits import Edit, pack, unpack
from toolslot_llamaindex._known import AllowedType
from toolslot_llamaindex._memory import MemoryChange
from toolslot_llamaindex._packing import bytes_of, json_bytes, text_of
from toolslot_llamaindex._values import ValueCodec

log = logging.getLogger("toolslot")

_FORMAT = 2


class RecordedError(Exception):
    """Stands for the exception of a recorded call. `error_type` names its class, which is never imported to make it again."""

    def __init__(self, message: str, *, error_type: str) -> None:
        super().__init__(message)
        self.error_type = error_type


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a tool call came to: its output, whether that ends the run, and what it wrote into the workflow's state.

    `event` is what the agent's own step has returned in place of a result. `asked` holds the arguments that the model gave. All else in
    the output's `raw_input` is the program's own, as of `partial_params`: it may be a secret, and is not stored.
    """

    output: ToolOutput
    return_direct: bool = False
    edits: tuple[Edit, ...] = ()
    event: Event | None = None
    memory: tuple[MemoryChange, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=lambda: {})


class AnswerNotStorable(NotStorable):
    """An output that cannot be written. `text` is what the model saw of it: that much can always be kept."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


class LlamaIndexCodec:
    """Stores what a tool of an agent gave.

    What the model sees, the content blocks of every type, comes back as it was. `raw_output` comes back if `raw` can store it, else if it
    is JSON-like or of a class known here or allowed, else as text, with a warning; so too when a deploy has changed or removed its class.
    An exception comes back as a stand-in with the name of its type and its text.

    Args:
        allowed_types: Classes that may be made again from stored data, without their constructors: pydantic models, dataclasses, enums,
            subclasses of `dict`, `list`, `str` and the like, or a `TypeCodec` for any other.
        raw: A codec of the tool's own, asked first for `raw_output`.
    """

    name = "llamaindex/1"

    def __init__(self, allowed_types: Iterable[AllowedType] = (), *, raw: Codec | None = None) -> None:
        self.values = ValueCodec.of(allowed_types)
        self._raw = raw
        self._warned: set[str] = set()

    def for_tool(self, raw: Codec) -> LlamaIndexCodec:
        """The same with another codec for `raw_output`."""
        new = copy(self)
        new._raw = raw
        return new

    def serving(self, llms: Callable[[], Iterable[object]]) -> LlamaIndexCodec:
        """The same for an agent with these models: what their SDKs put into messages comes back too."""
        new = copy(self)
        new.values = self.values.serving(llms)
        return new

    def encode(self, value: object) -> bytes:
        """The bytes of an answer, or of a value that somebody decided a call to have.

        Raises:
            NotStorable: it cannot be written.
        """
        if not isinstance(value, Answer):
            return json_bytes({"v": _FORMAT, "plain": text_of(self.values.encode(value))})
        output = value.output
        try:
            return json_bytes(
                {
                    "v": _FORMAT,
                    "blocks": text_of(self.values.encode(list(output.blocks))),
                    "tool": output.tool_name,
                    "input": plain_json(_of_the_model(output.raw_input, value.asked)),
                    "error": output.is_error,
                    "exception": _exception(output.exception),
                    "raw": self._packed(output),
                    "direct": value.return_direct,
                    "edits": [text_of(pack(edit)) for edit in value.edits],
                    **(
                        {"event": text_of(self.values.encode(value.event))} if value.event is not None else {}
                    ),
                    **({"memory": [each.packed() for each in value.memory]} if value.memory else {}),
                }
            )
        except Exception as error:
            raise AnswerNotStorable(
                f"the output of {quoted(output.tool_name)} cannot be stored: {type(error).__name__}",
                output.content,
            ) from error

    def decode(self, data: bytes) -> object:
        """An `Answer`, or the decided value.

        Raises:
            UnreadablePayload: the bytes are damaged, or of another format.
        """
        try:
            stored = cast("dict[str, Any]", bounded_json(data))
            if stored["v"] != _FORMAT:
                raise UnreadablePayload(
                    f"an answer of format {stored['v']!r} is not known here; install a newer toolslot."
                )
            if "plain" in stored:
                return self.values.decode(bytes_of(stored["plain"]))
            blocks = cast("list[Any]", self.values.decode(bytes_of(stored["blocks"])))
            output = ToolOutput(
                blocks=blocks,
                tool_name=stored["tool"],
                raw_input=_input_of(stored["input"]),
                raw_output=self._unpacked(stored, blocks),
                is_error=stored["error"],
                exception=_stand_in(stored["exception"]),
            )
            return Answer(
                output=output,
                return_direct=stored["direct"],
                edits=tuple(unpack(bytes_of(data)) for data in stored["edits"]),
                event=self._event(stored.get("event")),
                memory=tuple(MemoryChange.unpacked(each) for each in stored.get("memory", ())),
            )
        except UnreadablePayload:
            raise
        except Exception as error:
            raise UnreadablePayload(
                f"{len(data)} bytes are no {self.name} payload: {type(error).__name__}"
            ) from error

    # --- the parts ------------------------------------------------------------------------------------------------------

    def _event(self, stored: str | None) -> Event | None:
        found = None if stored is None else self.values.decode(bytes_of(stored))
        if found is not None and not isinstance(found, Event):
            raise UnreadablePayload(f"a {type(found).__name__} stands in an answer where an event is.")
        return found

    def _packed(self, output: ToolOutput) -> list[str]:
        """[how, bytes]: by the tool's own codec, as a value, or as what is left: the text."""
        raw: object = output.raw_output
        for how, codec in (("own", self._raw), ("value", self.values)):
            if codec is None:
                continue
            try:
                return [how, text_of(codec.encode(raw))]
            except Exception:  # noqa: S112 - codecs are other people's code; the next way is tried
                continue
        if output.tool_name not in self._warned:
            self._warned.add(output.tool_name)
            log.warning(
                "toolslot.raw_output_lossy tool=%s: its raw_output, a %s, cannot be stored; a replay has its text instead (the model sees"
                " the same). %s Or give ToolPolicy(codec=...). Calls that run from then on are stored whole.",
                quoted(output.tool_name),
                type(raw).__name__,
                self.values.remedy_for(raw),
            )
        return ["text", text_of(_text(raw).encode("utf-8", "replace"))]

    def _unpacked(self, stored: dict[str, Any], blocks: list[Any]) -> object:
        """The `raw_output`; where a deploy has made that impossible the text: the model never sees more, so nothing has to stop."""
        how, data = stored["raw"][0], bytes_of(stored["raw"][1])
        if how == "text":
            return data.decode()
        codec = self._raw if how == "own" else self.values
        try:
            if codec is None:
                raise UnreadablePayload(
                    "It was written by a codec of the tool's own: give ToolPolicy(codec=...)."
                )
            return codec.decode(data)
        except Exception as error:  # codecs are other people's code
            tool: str = stored["tool"]
            if tool not in self._warned:
                self._warned.add(tool)
                log.warning(
                    "toolslot.raw_output_lossy tool=%s: its recorded raw_output cannot be made again here; this replay has its text instead"
                    " (the model sees the same). %s",
                    quoted(tool),
                    error
                    if isinstance(error, UnreadablePayload)
                    else f"Its codec raised {type(error).__name__}.",
                )
            return ToolOutput(blocks=blocks, tool_name=tool, raw_input={}, raw_output=None).content


def bounded_json(data: bytes) -> object:
    """Parsed JSON that was stored.

    Raises:
        UnreadablePayload: it has more parts than anything that is stored here, and would take gigabytes.
        ValueError, RecursionError: it is no JSON, or too deep.
    """
    if weight_exceeds(data, MAX_WEIGHT):
        raise UnreadablePayload(f"{len(data)} bytes of JSON have more parts than are allowed.")
    return json.loads(data)


def plain_json(value: object) -> Any:
    """Plain JSON for people to look at, the same in every process; of an object that has no form in JSON the name of its class is left."""
    return _settled(value) if type(value) in (dict, list, tuple, set, frozenset) else _one(value)


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(_one(key)): plain_json(item) for key, item in cast("dict[Any, Any]", value).items()}
    items = [plain_json(item) for item in value]
    return sorted(items, key=repr) if isinstance(value, (set, frozenset)) else items


def _one(value: object) -> Any:
    try:
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="python")
            return plain_json(value)
        return to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="constants")
    except Exception:  # other people's objects
        return f"<{type(value).__name__}>"


def _of_the_model(raw_input: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What of the input the model gave, in the form in which the tool gives it; of all else nothing."""
    if set(raw_input) == {"args", "kwargs"} and isinstance(raw_input["kwargs"], dict):
        given = cast("dict[str, Any]", raw_input["kwargs"])
        # By position agents give nothing.
        return {"args": (), "kwargs": {key: asked[key] for key in given.keys() & asked.keys()}}
    return {key: asked[key] for key in raw_input.keys() & asked.keys()}


def _input_of(stored: dict[str, Any]) -> dict[str, Any]:
    return {**stored, "args": ()} if stored.get("args") == [] and "kwargs" in stored else stored


def _exception(error: Exception | None) -> list[str] | None:
    return None if error is None else [f"{type(error).__module__}.{type(error).__qualname__}", _text(error)]


def _stand_in(stored: list[str] | None) -> Exception | None:
    return None if stored is None else RecordedError(stored[1], error_type=stored[0])


def _text(value: object) -> str:
    try:
        return str.__str__(str(value))
    except Exception:
        return f"<{type(value).__name__}>"
