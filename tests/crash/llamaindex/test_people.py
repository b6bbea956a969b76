"""Tools that ask a person, two at once beside a slow one that pays, in processes that are killed around the answers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

from crash.llamaindex.lives import answering, asked, child, killed, once, resumed, told
from support.ledger import Ledger

pytestmark = pytest.mark.crash

PEOPLE = ("--people", "--policy", "reconcile")
#: given in another order than the calls have
ANSWERS = answering({"2": "yes, 2", "0": "no, 0"})
EACH_ITS_OWN = ["0: no, 0", "paid 7", "2: yes, 2"]


def test_each_answer_reaches_its_own_call_and_the_slow_one_runs_once(tmp_path: Path) -> None:
    with child(tmp_path, *PEOPLE, *ANSWERS) as only:
        outcome = only.report()
    assert outcome["result"] == "done"
    assert told(outcome) == EACH_ITS_OWN


def test_answers_that_are_sent_twice_count_once(tmp_path: Path) -> None:
    with child(tmp_path, *PEOPLE, *ANSWERS, "--twice") as only:
        assert told(only.report()) == EACH_ITS_OWN
    ledger = Ledger(tmp_path / "ledger")
    assert [ledger.count("effect", i) for i in (0, 2, 7)] == [1, 1, 1]
    assert asked(ledger) == once("function")


def test_killed_at_the_questions_by_default_a_finished_sibling_does_not_run_again(tmp_path: Path) -> None:
    at_both = ("--counting", "waiting,finished", "--ready", "3")
    ledger = killed(tmp_path, "--people", "--quick", *at_both)
    assert told(resumed(tmp_path, "--people", "--quick", *ANSWERS)) == EACH_ITS_OWN
    assert ledger.counts("begin", range(8)) == [1, 0, 1, 0, 0, 0, 0, 1]
    assert asked(ledger) == once("function")


def test_killed_between_questions_and_answers_both_are_asked_again_and_the_slow_one_is_settled(
    tmp_path: Path,
) -> None:
    ledger = killed(tmp_path, *PEOPLE, word="ASKED")
    # It ran beside them, and nobody knows how far it came: its reconciler does.
    outcome = resumed(tmp_path, *PEOPLE, *ANSWERS)
    assert sorted(outcome["questions"]) == ["0", "2"]
    assert told(outcome) == EACH_ITS_OWN
    assert ledger.count("effect", 7) == 1
    assert [ledger.count("effect", i) for i in (0, 2)] == [1, 1]
    assert asked(ledger) == once("function")


def test_killed_between_two_answers_the_call_that_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    one = answering({"2": "yes, 2"})
    ledger = killed(tmp_path, *PEOPLE, *one, "--ready", "1")
    assert ledger.count("told", 2, "yes, 2") == 1
    outcome = resumed(tmp_path, *PEOPLE, *answering({"0": "no, 0"}), "--questions", "1")
    assert outcome["questions"] == ["0"]
    assert told(outcome) == EACH_ITS_OWN
    assert [ledger.count("effect", i) for i in (0, 2, 7)] == [1, 1, 1]
    assert asked(ledger) == once("function")


def test_killed_while_it_acts_on_an_answer_the_call_is_settled_as_any_other(tmp_path: Path) -> None:
    one = answering({"2": "yes, 2"})
    ledger = killed(tmp_path, *PEOPLE, *one, "--hang-after", "2,7", "--ready", "2")
    assert [ledger.count("effect", i) for i in (0, 2, 7)] == [0, 1, 1]
    outcome = resumed(tmp_path, *PEOPLE, *answering({"0": "no, 0"}), "--questions", "1")
    assert outcome["questions"] == ["0"]
    assert told(outcome) == ["0: no, 0", "paid 7", "paid 2"]
    assert [ledger.count("effect", i) for i in (0, 2, 7)] == [1, 1, 1]
    assert [ledger.count("asked", i) for i in (0, 2, 7)] == [0, 1, 1]
