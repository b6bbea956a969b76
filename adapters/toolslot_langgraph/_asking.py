"""Asking a person about calls of unknown outcome, until an answer settles something."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from toolslot import DecisionRefused
from toolslot_langgraph._questions import Decision, Question, payload, read

log = logging.getLogger("toolslot")

WHY = "answered at the interrupt in LangGraph"


def decisions(
    ask: Callable[[object], object], questions: Sequence[Question], node: str | None
) -> Sequence[tuple[Question, Decision]]:
    """What a person decides; `ask` raises `GraphInterrupt` until there is an answer."""
    problem = ""
    while True:
        reading = read(ask(payload(questions, problem)), questions)
        for stale in reading.stale:
            log.warning("toolslot.answer_refused node=%r: question %s is not open (any more)", node, stale)
        if reading.decisions:
            return reading.decisions
        problem = reading.problem or "every question in the answer is settled already"
        log.warning("toolslot.answer_refused node=%r: %s", node, problem)


@contextmanager
def refusable(node: str | None) -> Generator[None]:
    """Around a decision that somebody else may have made meanwhile: whatever the call is now, the next round looks at it."""
    try:
        yield
    except DecisionRefused as refused:
        log.warning("toolslot.answer_refused node=%r: %s", node, refused)
