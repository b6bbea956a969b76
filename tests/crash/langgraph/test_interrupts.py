"""Tools that ask a person, in a process that is killed before the answer, and while it acts on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.ledger import Ledger
from support.lives import FIVE, ONE_TASK, PAID, child, doors, modes, resumed

pytestmark = [pytest.mark.crash, pytest.mark.pairwise]


def answered(outcome: Any) -> tuple[str, str]:
    """Each question is answered with itself, so that a call can tell whose answer it got."""
    return "--answer", json.dumps({key: f"yes, {value}" for key, value in outcome["interrupts"].items()})


def in_turn(folder: Path, outcome: Any, *args: str) -> Any:
    """The outcome once all questions have been answered, each in a process of its own."""
    for _ in FIVE:
        if not outcome["interrupts"]:
            break
        outcome = resumed(folder, *args, *answered(outcome))
    return outcome


def asked_at_once(door: str, questions: int) -> int:
    """In one task LangGraph shows one question after the other."""
    return 1 if door in ONE_TASK else questions


@doors
@modes
@pytest.mark.parametrize("asking", ["1", "1,3"])
def test_an_interrupt_then_a_kill_then_the_answer_and_no_sibling_is_repeated(
    tmp_path: Path, door: str, mode: str, asking: str
) -> None:
    args = ("--door", door, "--mode", mode, "--interrupts", asking)
    with child(tmp_path, *args, "--stay") as first:
        first.await_line("STAYS")
        first.kill()
    ledger = Ledger(tmp_path / "ledger")
    own = {int(i) for i in asking.split(",")}
    siblings = [0 if i in own else 1 for i in FIVE]
    assert ledger.counts("effect", FIVE) == siblings
    outcome = resumed(tmp_path, *args)  # asks again: nobody has answered
    assert len(outcome["interrupts"]) == asked_at_once(door, len(own))
    assert ledger.counts("effect", FIVE) == siblings
    assert in_turn(tmp_path, outcome, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert [ledger.count("told", i, f"yes, pay {i}?") for i in FIVE] == [int(i in own) for i in FIVE]
    assert ledger.count("model") == 1
    assert all(n == 1 for i, n in enumerate(ledger.counts("begin", FIVE)) if i not in own)


@doors
@modes
def test_killed_between_an_interrupt_and_its_question_the_question_is_asked_in_the_next_life(
    tmp_path: Path, door: str, mode: str
) -> None:
    """Call 1 waits for a person, and nobody was told: call 3 was still running, after its effect."""
    args = ("--door", door, "--mode", mode, "--interrupts", "1", "--policy", "reconcile")
    with child(tmp_path, *args, "--hang-after", "3", "--counting", "waiting", "--ready", "5") as first:
        first.await_line("READY")
        first.kill()
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.counts("effect", FIVE) == [1, 0, 1, 1, 1]
    outcome = resumed(tmp_path, *args)
    assert list(outcome["interrupts"].values()) == ["pay 1?"]
    assert ledger.counts("effect", FIVE) == [1, 0, 1, 1, 1]
    assert resumed(tmp_path, *args, *answered(outcome))["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 1, 0]
    assert ledger.count("told", 1, "yes, pay 1?") == 1


@doors
@modes
def test_killed_while_it_acts_on_the_answer_the_call_is_settled_as_any_other(
    tmp_path: Path, door: str, mode: str
) -> None:
    args = ("--door", door, "--mode", mode, "--interrupts", "1", "--policy", "reconcile")
    with child(tmp_path, *args) as first:
        outcome = first.report()
    answer = answered(outcome)
    with child(tmp_path, "--life", "2", *args, *answer, "--hang-after", "1", "--ready", "1") as second:
        second.await_line("READY")
        second.kill()
    ledger = Ledger(tmp_path / "ledger")
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 1, 0, 0, 0]
