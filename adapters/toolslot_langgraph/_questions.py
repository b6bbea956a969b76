"""What a person is asked about calls of unknown outcome, and how an answer is read. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from toolslot import Slot, UnknownOutcome
from toolslot.hosting import Decision, decision_of, shown, what_is_wrong

_ID = re.compile(r"[^@]+@\d+")
_CHOICES = ("done", "failed", "rerun")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One open question. Its id names the call and the version of its record, so an answer cannot settle anything else."""

    id: str
    index: int
    version: int
    slot: Slot

    @classmethod
    def about(cls, unknown: UnknownOutcome, slot: Slot) -> Question:
        return cls(
            id=f"{unknown.idempotency_key}@{unknown.version}",
            index=unknown.index,
            version=unknown.version,
            slot=slot,
        )

    def shown(self) -> dict[str, Any]:
        """What the person sees. Arguments by name only: their values are in the conversation, and may be secrets."""
        slot = self.slot
        return {
            "id": self.id,
            "tool": slot.tool,
            "args": sorted(slot.args),
            "call_id": slot.call_id,
            "started_at": slot.started_at.isoformat() if slot.started_at is not None else None,
            "attempt": slot.attempt,
            "idempotency_key": slot.idempotency_key,
            "reason": slot.reason.value if slot.reason is not None else "unknown",
            "choices": list(_CHOICES),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """An answer, read: what it decides, which of its ids are not asked (any more), and what is wrong with it."""

    decisions: tuple[tuple[Question, Decision], ...] = ()
    stale: tuple[str, ...] = ()
    problem: str = ""


def payload(questions: Sequence[Question], problem: str = "") -> dict[str, Any]:
    """The value of the interrupt: all open questions of one node at once. Plain JSON."""
    example = {question.id: choice for question, choice in zip(questions, _examples(), strict=False)}
    shown: dict[str, Any] = {
        "type": "toolslot.unknown_outcome",
        "message": (
            "These tool calls began, and left no record or failed in a way that may have come after their effect: nobody here"
            " can know whether they were done. Find out (the idempotency key is the one the tool was given), then answer"
            " with Command(resume={id: answer, ...}), by the ids of the questions. If other interrupts are pending too, LangGraph"
            " wants to know which one is answered: Command(resume={interrupt.id: {id: answer}, ...})."
        ),
        "questions": [question.shown() for question in questions],
        "answer_with": example,
    }
    if problem:
        shown["error"] = problem
    return shown


def _examples() -> list[object]:
    return [{"done": "the result, as the tool would have returned it"}, "rerun", {"failed": "why it failed"}]


def names_questions(answer: object) -> bool:
    """Whether a person's answer is one to questions like these, whichever they are."""
    if not isinstance(answer, dict) or not answer:
        return False
    return all(isinstance(key, str) and _ID.fullmatch(key) for key in cast("dict[object, object]", answer))


def read(answer: object, questions: Sequence[Question]) -> Reading:
    """The decisions in an answer. A faulty answer decides nothing at all."""
    kind = type(answer).__name__
    by_id = {question.id: question for question in questions}
    if not isinstance(answer, dict) or decision_of(cast("object", answer)) is not None:
        # Not even when only one is open: it may be an answer to an earlier question, sent again, and nobody has looked into this one.
        return Reading(
            problem=f"expected a mapping of question ids to answers, got a {kind} that does not say which question it"
            f" answers: {{{', '.join(f'{key!r}: answer' for key in by_id)}}}"
        )
    decisions: list[tuple[Question, Decision]] = []
    stale: list[str] = []
    for key, value in cast("dict[object, object]", answer).items():
        question = by_id.get(key) if isinstance(key, str) else None
        if question is not None:
            decision = decision_of(value)
            if decision is None:
                return Reading(problem=f"{question.id}: {what_is_wrong(value)}")
            decisions.append((question, decision))
        elif isinstance(key, str) and _ID.fullmatch(key):
            stale.append(key)
        else:
            return Reading(
                problem=f"{shown(repr(key))} is not the id of a question; the open ones are: {', '.join(by_id)}"
            )
    if not decisions and not stale:
        return Reading(problem="the answer is empty")
    return Reading(decisions=tuple(decisions), stale=tuple(stale))
