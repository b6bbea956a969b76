"""What a person is asked about calls of unknown outcome, and how an answer is read. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from toolslot.hosting import Decision, Question, is_question_id, read_answer, shown

_CHOICES = ("done", "failed", "rerun")


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
        "questions": [{**question.shown(), "choices": list(_CHOICES)} for question in questions],
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
    return all(map(is_question_id, cast("dict[object, object]", answer)))


def read(answer: object, questions: Sequence[Question]) -> Reading:
    """The decisions in an answer. A faulty answer decides nothing at all."""
    kind = type(answer).__name__
    by_id = {question.id: question for question in questions}
    if not isinstance(answer, dict) or not isinstance(read_answer(cast("object", answer)), str):
        # Not even when only one is open: it may be an answer to an earlier question, sent again, and this one was not looked into.
        return Reading(
            problem=f"expected a mapping of question ids to answers, got a {kind} that does not say which question it"
            f" answers: {{{', '.join(f'{key!r}: answer' for key in by_id)}}}"
        )
    decisions: list[tuple[Question, Decision]] = []
    stale: list[str] = []
    for key, value in cast("dict[object, object]", answer).items():
        question = by_id.get(key) if isinstance(key, str) else None
        if question is not None:
            decision = read_answer(value)
            if isinstance(decision, str):
                return Reading(problem=f"{question.id}: {decision}")
            decisions.append((question, decision))
        elif is_question_id(key):
            stale.append(str(key))
        else:
            return Reading(
                problem=f"{shown(repr(key))} is not the id of a question; the open ones are: {', '.join(by_id)}"
            )
    if not decisions and not stale:
        return Reading(problem="the answer is empty")
    return Reading(decisions=tuple(decisions), stale=tuple(stale))
