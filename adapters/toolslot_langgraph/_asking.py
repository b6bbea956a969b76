"""Asking a person about calls of unknown outcome, until an answer settles something."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.types import interrupt

from toolslot import DecisionRefused
from toolslot.hosting import Decision, Question
from toolslot_langgraph._answers import NODE, Answers
from toolslot_langgraph._compat import enter_config
from toolslot_langgraph._questions import payload, read

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


class Asking:
    """Shows questions about calls of unknown outcome, apart from what the tools themselves ask; made for one execution."""

    def __init__(self, answers: Answers | None, config: RunnableConfig) -> None:
        self._answers = answers
        self._config = config
        self._context: Context | None = None

    def __call__(self, value: object) -> object:
        """The answer of a person; raises `GraphInterrupt` when there is none yet."""
        answers = self._answers
        assert answers is not None, "asked only where an answer finds its way back"
        if self._context is None:
            config: RunnableConfig = {**self._config}
            answers.adopt(NODE, config)
            self._context = copy_context()
            self._context.run(enter_config, config)
        try:
            return self._context.run(interrupt, value)
        except GraphInterrupt:
            answers.surface(NODE)
            raise


@contextmanager
def refusable(node: str | None) -> Generator[None]:
    """Around a decision that somebody else may have made meanwhile: whatever the call is now, the next round looks at it."""
    try:
        yield
    except DecisionRefused as refused:
        log.warning("toolslot.answer_refused node=%r: %s", node, refused)
