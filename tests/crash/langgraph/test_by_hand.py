"""LangGraph's quickstart graph, whose tool node is a function: killed, and resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.lives import FIVE, PAID, answering, durabilities, killed, modes, questions, resumed

pytestmark = [pytest.mark.crash, pytest.mark.pairwise]

#: how often the effect of call 3 is had, which was had before the process died and left no record
EFFECTS = {"default": 2, "reconcile": 1, "ask": 1}


@modes
@durabilities
@pytest.mark.parametrize("policy", EFFECTS)
def test_killed_what_is_recorded_replays_and_the_rest_follows_the_policy(
    tmp_path: Path, mode: str, durability: str, policy: str
) -> None:
    args = ("--door", "function", "--mode", mode, "--durability", durability, "--policy", policy)
    ledger = killed(tmp_path, *args)
    outcome = resumed(tmp_path, *args)
    if policy == "ask":
        assert sorted(questions(outcome)) == ["call-3", "call-4"]
        outcome = resumed(
            tmp_path, *args, *answering(outcome, {"call-3": {"done": "paid 3"}, "call-4": "rerun"})
        )
    assert outcome["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, EFFECTS[policy], 1]
    assert ledger.count("model") == 1
