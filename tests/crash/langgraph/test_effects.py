"""Effects with a key where nothing else can help: the model is asked again, or another thread wants the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.forked import run
from support.ledger import Ledger
from support.lives import FIVE, PAID, VICTIM, answering, child, doors, killed, modes, questions

pytestmark = [pytest.mark.crash, pytest.mark.pairwise]

ONCE = [1, 1, 1, 1, 1]


@doors
@modes
@pytest.mark.parametrize("durability", ["exit", "async", "sync"])
def test_killed_and_asked_again_from_the_beginning_the_effects_are_had_once(
    tmp_path: Path, door: str, mode: str, durability: str
) -> None:
    """Nothing of the first life is resumed: with "exit" nothing was saved, and else a user sends the question again to a new thread."""
    args = ("--door", door, "--mode", mode, "--policy", "keyed and reconciled", "--durability", durability)
    ledger = killed(tmp_path, *args)
    thread = ("--thread", "order-17" if durability == "exit" else "order-18")
    outcome = run(VICTIM, [str(tmp_path), *args, *thread])
    assert outcome["answers"] == PAID
    assert ledger.counts("effect", FIVE) == ONCE
    assert ledger.count("model") == 2
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 1, 1]  # about those that left no record


@doors
@modes
def test_another_thread_is_asked_about_the_calls_of_the_dead_and_the_answers_settle_these(
    tmp_path: Path, door: str, mode: str
) -> None:
    args = ("--door", door, "--mode", mode, "--policy", "keyed")
    ledger = killed(tmp_path, *args)
    other = (*args, "--thread", "order-18")
    outcome = run(VICTIM, [str(tmp_path), *other])
    assert sorted(questions(outcome)) == ["call-3", "call-4"]
    answers = {"call-3": {"done": "paid 3"}, "call-4": "rerun"}
    outcome = run(VICTIM, [str(tmp_path), *other, "--life", "2", *answering(outcome, answers)])
    assert outcome["answers"] == PAID
    # The first thread goes on with what is settled by now, and asks nothing.
    outcome = run(VICTIM, [str(tmp_path), *args, "--life", "2"])
    assert outcome["answers"] == PAID
    assert ledger.counts("effect", FIVE) == ONCE


@modes
@pytest.mark.parametrize("door", ["node", "agent+make_durable"])
def test_two_processes_that_pay_the_same_at_once_pay_it_once(tmp_path: Path, door: str, mode: str) -> None:
    args = ("--door", door, "--mode", mode, "--policy", "keyed and reconciled", "--stamp")
    with child(tmp_path, *args, "--thread", "a") as one, child(tmp_path, *args, "--thread", "b") as other:
        found = [each.report() for each in (one, other)]
    assert found[0]["answers"] == found[1]["answers"]
    assert Ledger(tmp_path / "ledger").counts("effect", FIVE) == ONCE
