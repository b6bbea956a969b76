"""What a person is asked about a call of unknown outcome, and how an answer is read. Nothing here does I/O."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from workflows.events import HumanResponseEvent, InputRequiredEvent

from toolslot import Slot, UnknownOutcome
from toolslot.hosting import Question

_MESSAGE = (
    "This tool call began, and left no record or failed in a way that may have come after its effect: nobody here can know whether it was"
    " done. Find out (the idempotency key is the one the tool was given), then send"
    " ToolOutcomeAnswer(id=question.id, answer=...): 'rerun', {'done': result} or {'failed': 'why'}."
)


class ToolOutcomeQuestion(InputRequiredEvent):
    """Streamed when nobody can know whether a tool call was done and its policy says "ask". Answer with `ToolOutcomeAnswer`.

    `id` names the call and the version of its record, so that an answer cannot settle anything else. Of the arguments only the names are
    shown: their values are in the conversation, and may be secrets. `error` says what was wrong with the last answer.
    """

    id: str
    tool: str
    args: list[str] = Field(default_factory=list)
    call_id: str = ""
    attempt: int = 0
    started_at: str | None = None
    idempotency_key: str = ""
    reason: str = "unknown"
    notes: list[str] = Field(default_factory=list)
    message: str = _MESSAGE
    error: str = ""


class ToolOutcomeAnswer(HumanResponseEvent):
    """Settles the call that the `ToolOutcomeQuestion` with this `id` is about.

    `answer` is "rerun", {"done": the result, as the tool would have returned it} or {"failed": why, as a text}.
    """

    id: str
    answer: Any = None


def question(unknown: UnknownOutcome, slot: Slot, *, tries: int = 0, error: str = "") -> ToolOutcomeQuestion:
    """The event that asks about the call. `tries` counts the faulty answers so far: an answer settles the question it was given to only."""
    return ToolOutcomeQuestion(**Question.about(unknown, slot, tries=tries).shown(), error=error)
