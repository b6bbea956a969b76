"""A real LlamaIndex agent, killed with SIGKILL in the middle of five parallel calls, run again in a new process with the same run id.

The workflow has handed over from one agent to another before; the calls are those of the second.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

from crash.llamaindex.lives import (
    FIVE,
    PAID,
    answering,
    asked,
    either,
    killed,
    killed_in_flight,
    kinds,
    modes,
    once,
    resumed,
    told,
)
from support.ledger import Ledger

pytestmark = pytest.mark.crash


@kinds
@modes
def test_by_default_only_the_calls_in_flight_run_again(tmp_path: Path, kind: str, mode: str) -> None:
    args = ("--kind", kind, "--mode", mode)
    ledger = killed_in_flight(tmp_path, *args)
    assert told(resumed(tmp_path, *args)) == PAID
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 2, 2], "seven executions"
    assert asked(ledger) == once(kind)
    assert ledger.count("begin", 9) == (1 if kind == "workflow" else 0), "the call beside the handoff"


@kinds
@modes
def test_with_a_reconciler_every_effect_happens_once(tmp_path: Path, kind: str, mode: str) -> None:
    args = ("--kind", kind, "--mode", mode, "--policy", "reconcile")
    ledger = killed_in_flight(tmp_path, *args)
    assert told(resumed(tmp_path, *args)) == PAID
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 2], "six executions"
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 1, 1]
    assert asked(ledger) == once(kind)


@either
def test_with_fail_the_model_is_told_and_nothing_runs_again(tmp_path: Path, kind: str, mode: str) -> None:
    args = ("--kind", kind, "--mode", mode, "--policy", "fail")
    ledger = killed_in_flight(tmp_path, *args)
    answers = told(resumed(tmp_path, *args))
    assert answers[:3] == PAID[:3]
    assert all("nobody here can know" in answer for answer in answers[3:])
    assert resumed(tmp_path, *args, life=3)["heard"] == [], "the run is finished"
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    assert asked(ledger) == once(kind)


@either
def test_with_ask_nothing_runs_before_the_answers_and_each_reaches_its_call(
    tmp_path: Path, kind: str, mode: str
) -> None:
    args = ("--kind", kind, "--mode", mode, "--policy", "ask")
    ledger = killed_in_flight(tmp_path, *args)
    killed(tmp_path, "--life", "2", *args, word="ASKED")
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1], "nobody has answered"
    turn = 0 if kind == "function" else 1
    answers = answering({f"call-{turn}-4": "rerun", f"call-{turn}-3": {"done": "was paid"}})
    outcome = resumed(tmp_path, *args, *answers, life=3)
    assert sorted(outcome["questions"]) == [f"call-{turn}-3", f"call-{turn}-4"]
    assert told(outcome) == [*PAID[:3], "was paid", PAID[4]]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert asked(ledger) == once(kind)


def test_of_two_questions_one_may_be_answered_before_another_kill(tmp_path: Path) -> None:
    args = ("--policy", "ask")
    ledger = killed_in_flight(tmp_path, *args)
    one = answering({"call-0-3": {"failed": "the bank refused"}})
    killed(tmp_path, "--life", "2", *args, *one, "--counting", "reconciled", "--ready", "1")
    outcome = resumed(tmp_path, *args, *answering({"call-0-4": "rerun"}), "--questions", "1", life=3)
    assert outcome["questions"] == ["call-0-4"], "what was answered is not asked again"
    answers = told(outcome)
    assert "the bank refused" in answers[3]
    assert [*answers[:3], answers[4]] == [*PAID[:3], PAID[4]]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]


@kinds
def test_killed_after_all_was_decided_the_next_process_owns_nothing_and_tells_the_model(
    tmp_path: Path, kind: str
) -> None:
    args = ("--kind", kind, "--policy", "ask")
    ledger = killed_in_flight(tmp_path, *args)
    turn = 0 if kind == "function" else 1
    answers = answering({f"call-{turn}-{i}": {"failed": "the bank refused"} for i in (3, 4)})
    killed(tmp_path, "--life", "2", *args, *answers, "--hang-model", str(turn + 1), word="ASKING")
    outcome = resumed(tmp_path, *args, life=3)
    assert outcome["questions"] == []
    texts = told(outcome)
    assert texts[:3] == PAID[:3]
    assert all("the bank refused" in text for text in texts[3:])
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]


@kinds
@modes
def test_a_second_kill_while_it_resumes_loses_nothing_either(tmp_path: Path, kind: str, mode: str) -> None:
    args = ("--kind", kind, "--mode", mode, "--policy", "reconcile")
    ledger = killed_in_flight(tmp_path, *args)
    killed(tmp_path, "--life", "2", *args, "--hang-after", "4", "--ready", "1")
    assert told(resumed(tmp_path, *args, life=3)) == PAID
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 2]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 1, 2], "what was settled is not asked again"
    assert asked(ledger) == once(kind)


def test_a_second_kill_repeats_by_default_only_what_was_in_flight_then(tmp_path: Path) -> None:
    ledger = killed_in_flight(tmp_path)
    killed(tmp_path, "--life", "2", "--hang-after", "4", "--ready", "2")
    assert told(resumed(tmp_path, life=3)) == PAID
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 2, 3]
    assert asked(ledger) == once("function")


@kinds
def test_a_finished_run_gives_its_answer_again_in_another_process(tmp_path: Path, kind: str) -> None:
    args = ("--kind", kind)
    first = resumed(tmp_path, *args)
    before = Ledger(tmp_path / "ledger").lines()
    again = resumed(tmp_path, *args)
    assert (again["heard"], again["raw"]) == ([], sorted(first["raw"]))
    assert Ledger(tmp_path / "ledger").lines() == before


def test_for_comparison_the_plain_agent_repeats_every_call_and_every_question(tmp_path: Path) -> None:
    ledger = killed_in_flight(tmp_path, "--plain")
    assert sorted(told(resumed(tmp_path, "--plain"))) == PAID
    assert ledger.counts("begin", FIVE) == [2, 2, 2, 2, 2]
    assert ledger.counts("effect", FIVE) == [2, 2, 2, 2, 1]
    assert asked(ledger) == {"A 0": 2, "A 1": 1}


@kinds
@modes
def test_with_an_effect_key_another_run_has_each_effect_no_more_than_once(
    tmp_path: Path, kind: str, mode: str
) -> None:
    args = ("--kind", kind, "--mode", mode, "--policy", "keyed")
    ledger = killed_in_flight(tmp_path, *args)
    assert told(resumed(tmp_path, *args, "--run-id", "order-18", life=3)) == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert told(resumed(tmp_path, *args)) == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
