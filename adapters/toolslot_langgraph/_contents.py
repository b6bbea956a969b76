"""What an answer of LangGraph's says in every host, and in what its tool failed: for calls with an effect key."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command
from pydantic import ValidationError

from toolslot import InvalidArguments
from toolslot.hosting import Content
from toolslot_langgraph._codec import ToParent
from toolslot_langgraph._compat import as_content


class LangGraphContents:
    """Messages as what they say; of a command what its message says, for it steers a graph that is not there."""

    def to_content(self, value: object) -> Content:
        message = message_in(value)
        if message is not None:
            content: object = message.content
            return Content(content, message.artifact, message.status == "error")
        return Content("" if isinstance(value, (Command, ToParent, list)) else as_content(value))

    def from_content(self, content: Content) -> object:
        """The call's own id and name are put in where it is handed out."""
        return ToolMessage(
            as_content(content.content),
            artifact=content.artifact,
            tool_call_id="",
            status="error" if content.error else "success",
        )


def message_in(value: object) -> ToolMessage | None:
    """The message that tells the model, in a tool's output."""
    if isinstance(value, ToolMessage):
        return value
    if isinstance(value, list):
        return next(filter(None, map(message_in, cast("list[object]", value))), None)
    if isinstance(value, ToParent):
        return message_in(value.command)
    if isinstance(value, Command):
        update: object = cast("Command[Any]", value).update
        parts = [*cast("dict[str, object]", update).values()] if isinstance(update, dict) else [update]
        return next(filter(None, (message_in(part) for part in parts if not isinstance(part, Command))), None)
    return None


@dataclass(slots=True)
class Watch:
    """How often the tool was entered in one run of a call's code, and what it raised each time (None: nothing)."""

    ends: list[Exception | None] = field(default_factory=lambda: [])

    def error(self) -> Exception | None:
        """What the answer was made of; None where that is not certain, as when a middleware has tried several times."""
        return self.ends[0] if len(self.ends) == 1 else None


#: of the call whose code runs now, if it has an effect key
watch: ContextVar[Watch | None] = ContextVar("toolslot_langgraph_watch", default=None)


def watched(request: ToolCallRequest) -> ToolCallRequest:
    """The request, with a copy of the tool that tells the current `watch` how it ended."""
    watching, tool = watch.get(), cast("Any", request.tool)
    if watching is None or tool is None:
        return request
    new: Any = copy.copy(tool)
    object.__setattr__(new, "invoke", _telling(tool.invoke, watching))
    object.__setattr__(new, "ainvoke", _atelling(tool.ainvoke, watching))
    return replace(request, tool=new)


def _telling(invoke: Callable[..., Any], watching: Watch) -> Callable[..., Any]:
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            result = invoke(*args, **kwargs)
        except Exception as error:
            watching.ends.append(_meant(error))
            raise
        watching.ends.append(None)
        return result

    return told


def _atelling(ainvoke: Callable[..., Any], watching: Watch) -> Callable[..., Any]:
    async def told(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await ainvoke(*args, **kwargs)
        except Exception as error:
            watching.ends.append(_meant(error))
            raise
        watching.ends.append(None)
        return result

    return told


def _meant(error: Exception) -> Exception:
    """The error; `InvalidArguments` where the tool's code was certainly not entered, for the model's arguments do not fit."""
    if isinstance(error, ValidationError) and _only_parsed(error.__traceback__):
        return InvalidArguments(f"the arguments do not fit: {error.error_count()} errors")
    return error


_PARSING = vars(BaseTool)["_parse_input"].__code__


def _only_parsed(trace: TracebackType | None) -> bool:
    """Whether it was raised while the arguments were read, before any tool's code."""
    while trace is not None:
        code = trace.tb_frame.f_code
        if code is _PARSING:
            return True
        if code.co_name in ("_run", "_arun"):
            return False
        trace = trace.tb_next
    return False
