"""A real LangGraph agent, killed with SIGKILL in the middle of five parallel calls, resumed in a new process.

At the kill, calls 0, 1 and 2 have finished and are recorded, call 3 has had its effect and not returned, call 4 has begun and done nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.ledger import Ledger
from support.processes import Child, run

pytestmark = pytest.mark.crash

VICTIM = Path(__file__).parent / "victim.py"
FIVE = range(5)
PAID = [f"paid {i}" for i in FIVE]

modes = pytest.mark.parametrize("mode", ["sync", "async"])
durabilities = pytest.mark.parametrize("durability", ["sync", "async"])


def killed(folder: Path, *args: str) -> Ledger:
    """The first life, up to its death."""
    with Child(
        VICTIM, str(folder), "--hang-after", "3", "--hang-before", "4", "--ready", "5", *args
    ) as child:
        child.await_line("READY")
        child.kill()
    ledger = Ledger(folder / "ledger")
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 0]
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    return ledger


def resumed(folder: Path, *args: str) -> Any:
    return run(VICTIM, [str(folder), "--life", "2", *args])


@modes
@durabilities
def test_by_default_only_the_calls_in_flight_run_again(tmp_path: Path, mode: str, durability: str) -> None:
    args = ("--mode", mode, "--durability", durability)
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 2, 1]
    assert ledger.count("model") == 1


@modes
@durabilities
def test_with_a_reconciler_every_effect_happens_once(tmp_path: Path, mode: str, durability: str) -> None:
    args = ("--mode", mode, "--durability", durability, "--policy", "reconcile")
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 1, 1]
    assert ledger.count("model") == 1


@modes
@durabilities
def test_with_fail_the_run_stops_clearly_and_nothing_runs_again(
    tmp_path: Path, mode: str, durability: str
) -> None:
    args = ("--mode", mode, "--durability", durability, "--policy", "fail")
    ledger = killed(tmp_path, *args)
    for _ in range(2):
        outcome = resumed(tmp_path, *args)
        assert outcome["error"] == "UnknownOutcome"
        assert "call 3" in outcome["message"]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 0]
    assert ledger.count("model") == 1


@modes
@durabilities
def test_with_ask_the_run_waits_for_a_person_whose_answers_reach_their_calls(
    tmp_path: Path, mode: str, durability: str
) -> None:
    args = ("--mode", mode, "--durability", durability, "--policy", "ask")
    ledger = killed(tmp_path, *args)
    (question,) = resumed(tmp_path, *args)["questions"]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 0]
    asked = {q["call_id"]: q["id"] for q in question["questions"]}
    assert list(asked) == ["call-3", "call-4"]
    answer = {asked["call-3"]: {"done": "paid 3"}, asked["call-4"]: "rerun"}
    assert resumed(tmp_path, *args, "--answer", json.dumps(answer))["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.count("model") == 1


@modes
@durabilities
def test_for_comparison_the_plain_tool_node_repeats_what_had_finished(
    tmp_path: Path, mode: str, durability: str
) -> None:
    args = ("--node", "plain", "--mode", mode, "--durability", durability)
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [2, 2, 2, 2, 1]


def test_a_second_death_during_the_resume_changes_nothing_of_the_promise(tmp_path: Path) -> None:
    ledger = killed(tmp_path, "--policy", "reconcile")
    with Child(
        VICTIM, str(tmp_path), "--life", "2", "--policy", "reconcile", "--hang-after", "4", "--ready", "1"
    ) as child:
        child.await_line("READY")
        child.kill()
    assert resumed(tmp_path, "--policy", "reconcile")["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]


@modes
def test_case_05_of_a_hundred_calls_only_those_in_flight_run_again(tmp_path: Path, mode: str) -> None:
    hundred = range(100)
    hang = ",".join(str(i) for i in range(40, 50))
    args = ("--mode", mode, "--calls", "100", "--limit", "10", "--policy", "reconcile")
    with Child(VICTIM, str(tmp_path), *args, "--hang-before", hang, "--ready", "50") as child:
        child.await_line("READY")
        child.kill()
    ledger = Ledger(tmp_path / "ledger")
    begun = ledger.counts("begin", hundred)
    assert sum(begun) == 50
    assert len(resumed(tmp_path, *args)["answers"]) == 100
    assert ledger.counts("effect", hundred) == [1] * 100
    asked = ledger.counts("asked", hundred)
    assert sum(asked) == 10, "the ten in flight are asked about, and none that never started"
    assert all(was_begun for was_begun, was_asked in zip(begun, asked, strict=True) if was_asked)


@modes
def test_case_06_finished_calls_are_kept_when_they_run_one_at_a_time(tmp_path: Path, mode: str) -> None:
    hundred = range(100)
    args = ("--mode", mode, "--calls", "100", "--max-concurrency", "1")
    with Child(VICTIM, str(tmp_path), *args, "--hang-after", "50", "--ready", "51") as child:
        child.await_line("READY")
        child.kill()
    ledger = Ledger(tmp_path / "ledger")
    assert len(resumed(tmp_path, *args)["answers"]) == 100
    assert ledger.counts("effect", hundred) == [2 if i == 50 else 1 for i in hundred]
    assert ledger.count("model") == 1


@modes
def test_case_12_one_call_that_raises_loses_none_of_its_siblings(tmp_path: Path, mode: str) -> None:
    ledger = Ledger(tmp_path / "ledger")
    outcome = run(VICTIM, [str(tmp_path), "--mode", mode, "--raises", "2"])
    assert outcome == {"error": "ValueError", "message": "call 2 failed"}
    assert ledger.counts("effect", FIVE) == [1, 1, 0, 1, 1]
    assert resumed(tmp_path, "--mode", mode)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
