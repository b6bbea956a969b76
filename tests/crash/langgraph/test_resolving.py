"""A LangGraph agent that was killed, and a person who settles its calls with `toolslot resolve`, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.lives import FIVE, PAID, answering, killed, questions, resumed
from support.resolving import pending, resolve

pytestmark = pytest.mark.crash

#: one task for all calls, and one task for each
doors = pytest.mark.parametrize("door", ["node", "agent+middleware"])


@doors
def test_what_was_decided_before_the_resume_reaches_the_model_and_nothing_is_asked(
    tmp_path: Path, door: str
) -> None:
    args = ("--door", door, "--policy", "ask")
    ledger = killed(tmp_path, *args)
    assert [call["index"] for call in pending(tmp_path)] == [3, 4]
    resolve(tmp_path, "call-3", "--done", '{"receipt": 4711}')
    resolve(tmp_path, "call-4", "--rerun")
    outcome = resumed(tmp_path, *args)
    assert outcome["interrupts"] == {}
    assert outcome["answers"] == [*PAID[:3], '{"receipt": 4711}', PAID[4]], "as a tool that returns this"
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.count("model") == 1


@doors
def test_what_was_decided_while_the_run_waits_at_its_question_ends_the_question(
    tmp_path: Path, door: str
) -> None:
    args = ("--door", door, "--policy", "ask")
    ledger = killed(tmp_path, *args)
    outcome = resumed(tmp_path, *args)
    assert sorted(questions(outcome)) == ["call-3", "call-4"]
    resolve(tmp_path, "call-3", "--failed", "the account is closed")
    resolve(tmp_path, "call-4", "--done", '"by hand"')
    answers = resumed(tmp_path, *args)["answers"]
    assert "the account is closed" in answers[3]
    assert answers[4] == "by hand"
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 0]


def test_an_answer_to_a_question_that_was_decided_meanwhile_is_not_taken(tmp_path: Path) -> None:
    args = ("--policy", "ask")
    ledger = killed(tmp_path, *args)
    outcome = resumed(tmp_path, *args)
    resolve(tmp_path, "call-3", "--done", '"by hand"')
    answer = answering(outcome, {"call-3": "rerun", "call-4": "rerun"})
    assert resumed(tmp_path, *args, *answer)["answers"] == [*PAID[:3], "by hand", PAID[4]]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
