"""Lives of the LangGraph agent in `crash/langgraph/victim.py`, and what is asked about them in every test."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from support.forked import TESTS, Child, run
from support.ledger import Ledger

VICTIM = TESTS / "crash" / "langgraph" / "victim.py"
FIVE = range(5)
PAID = [f"paid {i}" for i in FIVE]

#: one task for all calls, and one task for each
ONE_TASK = ["node", "react1", "react1+make_durable"]
SENT = ["react2", "react2+make_durable", "agent+make_durable", "agent+middleware"]
DOORS = ONE_TASK + SENT

doors = pytest.mark.parametrize("door", DOORS)
modes = pytest.mark.parametrize("mode", ["sync", "async"])
durabilities = pytest.mark.parametrize("durability", ["sync", "async"])


def child(folder: Path, *args: str) -> Child:
    return Child(VICTIM, str(folder), *args)


def killed(folder: Path, *args: str) -> Ledger:
    """The first life, up to its death: 0, 1 and 2 are recorded, 3 has had its effect and not returned, 4 has begun and done nothing."""
    with child(folder, "--hang-after", "3", "--hang-before", "4", "--ready", "5", *args) as first:
        first.await_line("READY")
        first.kill()
        assert first.returncode == -signal.SIGKILL
    ledger = Ledger(folder / "ledger")
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 0]
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    return ledger


def resumed(folder: Path, *args: str) -> Any:
    return run(VICTIM, [str(folder), "--life", "2", *args])


def questions(outcome: Any) -> dict[str, tuple[str, str]]:
    """By call id: the interrupt that shows the question, and the question's id."""
    return {
        question["call_id"]: (interrupt, question["id"])
        for interrupt, value in outcome["interrupts"].items()
        for question in value["questions"]
    }


def answering(outcome: Any, answers: dict[str, Any]) -> tuple[str, str]:
    """The arguments by which a life is given these answers, by call id."""
    resume: dict[str, dict[str, Any]] = {}
    for call_id, (interrupt, question) in questions(outcome).items():
        if call_id in answers:
            resume.setdefault(interrupt, {})[question] = answers[call_id]
    return "--answer", json.dumps(resume)
