"""A real LangGraph agent, killed with SIGKILL in the middle of five parallel calls, resumed in a new process.

At the kill, calls 0, 1 and 2 have finished and are recorded, call 3 has had its effect and not returned, call 4 has begun and done nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.ledger import Ledger
from support.lives import (
    DOORS,
    FIVE,
    ONE_TASK,
    PAID,
    SENT,
    answering,
    child,
    doors,
    durabilities,
    killed,
    modes,
    questions,
    resumed,
)

pytestmark = [pytest.mark.crash, pytest.mark.pairwise]


@doors
@modes
@durabilities
def test_by_default_only_the_calls_in_flight_run_again(
    tmp_path: Path, door: str, mode: str, durability: str
) -> None:
    args = ("--door", door, "--mode", mode, "--durability", durability)
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 2, 1]
    assert ledger.count("model") == 1


@doors
@modes
@durabilities
def test_with_a_reconciler_every_effect_happens_once(
    tmp_path: Path, door: str, mode: str, durability: str
) -> None:
    args = ("--door", door, "--mode", mode, "--durability", durability, "--policy", "reconcile")
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 1, 1]
    assert ledger.count("model") == 1


@doors
@modes
@durabilities
def test_with_fail_the_run_stops_clearly_and_nothing_runs_again(
    tmp_path: Path, door: str, mode: str, durability: str
) -> None:
    args = ("--door", door, "--mode", mode, "--durability", durability, "--policy", "fail")
    ledger = killed(tmp_path, *args)
    for _ in range(2):
        outcome = resumed(tmp_path, *args)
        assert outcome["error"] == "UnknownOutcome"
        assert "call 3" in outcome["message"] or (door in SENT and "call 4" in outcome["message"])
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 0]
    assert ledger.count("model") == 1


@doors
@modes
@durabilities
def test_with_ask_the_run_waits_for_a_person_whose_answers_reach_their_calls(
    tmp_path: Path, door: str, mode: str, durability: str
) -> None:
    args = ("--door", door, "--mode", mode, "--durability", durability, "--policy", "ask")
    ledger = killed(tmp_path, *args)
    outcome = resumed(tmp_path, *args)
    assert sorted(questions(outcome)) == ["call-3", "call-4"]
    assert len(outcome["interrupts"]) == (1 if door in ONE_TASK else 2)
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 0], "nothing runs before the answer"
    answer = answering(outcome, {"call-3": {"done": "paid 3"}, "call-4": "rerun"})
    assert resumed(tmp_path, *args, *answer)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.count("model") == 1


def test_one_question_may_be_answered_without_naming_its_interrupt(tmp_path: Path) -> None:
    ledger = killed(tmp_path, "--policy", "ask")
    asked = questions(resumed(tmp_path, "--policy", "ask"))
    answer = {asked["call-3"][1]: {"done": "paid 3"}, asked["call-4"][1]: "rerun"}
    assert resumed(tmp_path, "--policy", "ask", "--answer", json.dumps(answer))["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("door", SENT)
def test_of_two_questions_of_two_tasks_one_may_be_answered_first(tmp_path: Path, door: str) -> None:
    args = ("--door", door, "--policy", "ask")
    ledger = killed(tmp_path, *args)
    outcome = resumed(tmp_path, *args)
    left = resumed(tmp_path, *args, *answering(outcome, {"call-4": "rerun"}))
    assert list(questions(left)) == ["call-3"]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    answer = answering(left, {"call-3": {"done": "paid 3"}})
    assert resumed(tmp_path, *args, *answer)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]


@modes
@durabilities
def test_for_comparison_the_plain_tool_node_repeats_what_had_finished(
    tmp_path: Path, mode: str, durability: str
) -> None:
    args = ("--door", "plain-node", "--mode", mode, "--durability", durability)
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [2, 2, 2, 2, 1]


@modes
def test_for_comparison_plain_create_agent_repeats_what_was_in_flight(tmp_path: Path, mode: str) -> None:
    """Once LangGraph has saved the results of calls 0, 1 and 2: test_moments.py has the kills before that."""
    args = ("--door", "plain-agent", "--mode", mode)
    ledger = killed(tmp_path, *args, "--count-saves", "--ready", "8")
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 2, 1]


@pytest.mark.parametrize("door", DOORS)
def test_a_second_death_during_the_resume_changes_nothing_of_the_promise(tmp_path: Path, door: str) -> None:
    args = ("--door", door, "--policy", "reconcile")
    ledger = killed(tmp_path, *args)
    with child(tmp_path, "--life", "2", *args, "--hang-after", "4", "--ready", "1") as second:
        second.await_line("READY")
        second.kill()
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("door", ["node", "agent+make_durable", "agent+middleware"])
@modes
def test_case_12_one_call_that_raises_loses_none_of_its_siblings(
    tmp_path: Path, door: str, mode: str
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    args = ("--door", door, "--mode", mode)
    with child(tmp_path, *args, "--raises", "2") as first:
        outcome = first.report()
    assert outcome == {"error": "ValueError", "message": "call 2 failed"}
    assert ledger.counts("effect", FIVE) == [1, 1, 0, 1, 1]
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
