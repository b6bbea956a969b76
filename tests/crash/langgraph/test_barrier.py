"""Killed at the first effect, with a saver across a network: the model's answer is there, so the model is not asked again."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.forked import run
from support.ledger import Ledger
from support.lives import FIVE, PAID, VICTIM, answering, child, doors, modes, questions, resumed

pytestmark = [pytest.mark.crash, pytest.mark.pairwise]

#: how often the effect of the first call is had, if the process dies right after it. The others never began.
EFFECTS = {"default": 2, "reconcile": 1, "ask": 1}


def killed_at_the_first_effect(folder: Path, *args: str) -> tuple[Ledger, int]:
    """The ledger, and which call it was."""
    with child(folder, *args, "--hang-after", "0,1,2,3,4", "--ready", "1", "--limit", "1") as first:
        first.await_line("READY")
        first.kill()
    ledger = Ledger(folder / "ledger")
    effects = ledger.counts("effect", FIVE)
    assert sorted(effects) == [0, 0, 0, 0, 1]
    return ledger, effects.index(1)


@doors
@modes
@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("seconds", ["0", "0.02", "0.5"])
@pytest.mark.parametrize("policy", EFFECTS)
def test_killed_at_the_first_effect_the_model_is_asked_once_and_effects_follow_the_policy(
    tmp_path: Path, door: str, mode: str, durability: str, seconds: str, policy: str
) -> None:
    args = ("--door", door, "--mode", mode, "--durability", durability, "--policy", policy)
    ledger, first = killed_at_the_first_effect(tmp_path, *args, "--slow-writes", seconds)
    outcome = resumed(tmp_path, *args)
    if policy == "ask":
        assert list(questions(outcome)) == [f"call-{first}"]
        answer = {f"call-{first}": {"done": f"paid {first}"}}
        outcome = resumed(tmp_path, *args, *answering(outcome, answer))
    assert outcome["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [EFFECTS[policy] if i == first else 1 for i in FIVE]
    assert ledger.count("model") == 1


@doors
@modes
@pytest.mark.parametrize("durability", ["async", "sync"])
def test_with_a_saver_that_fails_nothing_begins_and_a_resume_loses_nothing(
    tmp_path: Path, door: str, mode: str, durability: str
) -> None:
    args = ("--door", door, "--mode", mode, "--durability", durability)
    outcome = run(VICTIM, [str(tmp_path), *args, "--saver-fails"])
    # LangGraph's own error where it waits for its write itself.
    assert outcome["error"] == ("ConnectionError" if durability == "sync" else "ResponseNotSaved")
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.counts("begin", FIVE) == [0, 0, 0, 0, 0]
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]


@doors
@modes
@pytest.mark.parametrize("policy", ["ask", "fail", "reconcile"])
def test_with_durability_exit_calls_that_must_not_run_twice_do_not_begin(
    tmp_path: Path, door: str, mode: str, policy: str
) -> None:
    args = ("--door", door, "--mode", mode, "--policy", policy)
    outcome = run(VICTIM, [str(tmp_path), *args, "--durability", "exit"])
    assert outcome["error"] == "ResponseNotSaved"
    assert "durability='async' or 'sync'" in outcome["message"]
    assert Ledger(tmp_path / "ledger").counts("begin", FIVE) == [0, 0, 0, 0, 0]


@modes
@pytest.mark.parametrize("door", ["plain-node", "plain-agent"])
def test_for_comparison_plain_langgraph_asks_the_model_again(tmp_path: Path, door: str, mode: str) -> None:
    """With its default durability: the answer was still on its way to the saver when the first payment was made."""
    args = ("--door", door, "--mode", mode, "--durability", "async")
    with child(tmp_path, *args, "--slow-writes", "0.5", "--hang-after", "0", "--ready", "5") as first:
        first.await_line("READY")
        first.kill()
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    run(VICTIM, [str(tmp_path), *args])  # not even the input was saved: it is sent again
    assert ledger.counts("effect", FIVE) == [2, 2, 2, 2, 2]
    assert ledger.count("model") == 2
