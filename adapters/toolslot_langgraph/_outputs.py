"""What a recorded answer becomes when it is handed out again, and what the journal is to know of a tool's exception."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from langchain_core.messages import ToolCall, ToolMessage
from langgraph.errors import GraphBubbleUp, ParentCommand
from langgraph.types import Command

from toolslot import Draining, ResultNotStorable, SlotState
from toolslot import SlotRecord as Record
from toolslot_langgraph._codec import ToParent
from toolslot_langgraph._compat import as_content, is_invalid_resume
from toolslot_langgraph._contents import message_in

T = TypeVar("T")

#: what a call's code has made that did not return: unlike None, nothing that is recorded can be it
UNMADE = object()

#: how the repr of an output begins that says where the graph goes next, and so cannot be replaced by a message
_NOT_A_MESSAGE = ("Command(", "ToParent(", "[Command(", "[ToolMessage(")


class Reopened(GraphBubbleUp):
    """The call goes on waiting: a human's answer did not fit its question, or calls inside it wait for another process.

    `__cause__` is the error to show.
    """


def guarded(error: Exception) -> ToParent:
    """What the journal is to know of an exception from a tool: a hand-over to the parent graph is an answer.

    Raises:
        Reopened: the tool's question goes on waiting.
        Exception: the error itself, in every other case.
    """
    if isinstance(error, ParentCommand):
        signal: Any = error
        return ToParent(signal.args[0])
    if is_invalid_resume(error) or isinstance(error, Draining):
        raise Reopened from error
    raise error


def undrained(value: T, inside: list[Draining]) -> T:
    """The call's output, unless it is what a handler of errors made of a call inside that was not started.

    Raises:
        Reopened: it is; the call is entered again on resume.
    """
    if inside and is_error(value):
        raise Reopened from inside[0]
    return value


def is_error(value: object) -> bool:
    """Whether an output tells the model of a failure."""
    if isinstance(value, list):
        return any(is_error(item) for item in cast("list[object]", value))
    return isinstance(value, ToolMessage) and value.status == "error"


def replayed(value: Any, slot: Record, call: ToolCall, messages_key: str) -> Any:
    """The recorded value as a tool's output: a fresh object, marked. What is no message or command was decided, or is a text.

    Raises:
        ResultNotStorable: it was a command of which only a text is left.
    """
    items = _items(value)
    if items and all(isinstance(item, (ToolMessage, Command)) for item in items):
        for item in items:
            if isinstance(item, ToolMessage) and slot.decision is not None:
                item.tool_call_id, item.name = call["id"] or "", call["name"]
            if slot.holder is not None:
                _make_own(item, call)
            _mark(item, messages_key)
        return value
    if slot.outcome is not None and slot.outcome.described and str(value).startswith(_NOT_A_MESSAGE):
        raise ResultNotStorable(
            f"call {slot.index} ({call['name']}) is done and will not run again, but the command it returned could not be stored, so the"
            " graph cannot follow it. Name the classes in it in allowed_types=, or give the tool a codec: ToolPolicy(codec=...)."
        )
    message = ToolMessage(
        as_content(value),
        name=call["name"],
        tool_call_id=call["id"] or "",
        status="error" if slot.state is SlotState.FAILED else "success",
    )
    _mark(message, messages_key)
    return message


def _make_own(item: object, call: ToolCall) -> None:
    """Have the result of another call with the same effect key answer this one."""
    message = message_in(item)
    if message is not None:
        message.tool_call_id, message.name, message.id = call["id"] or "", call["name"], None


def _items(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _mark(item: Any, messages_key: str) -> None:
    """Say of the messages in an output that they were replayed; the artifact is the tool's own and stays as it is."""
    if isinstance(item, ToolMessage):
        item.response_metadata = {**item.response_metadata, "toolslot": {"replayed": True}}
    elif isinstance(item, Command):
        update: Any = cast("Command[Any]", item).update
        found: Any = cast("dict[str, Any]", update).get(messages_key) if isinstance(update, dict) else update
        for message in cast("list[object]", found) if isinstance(found, list) else ():
            if isinstance(message, ToolMessage):
                _mark(message, messages_key)
