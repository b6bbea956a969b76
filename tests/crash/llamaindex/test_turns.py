"""Killed between the calls: while results are handled, while the model is asked; results that JSON cannot say; a provider that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

from crash.llamaindex.lives import (
    FIVE,
    PAID,
    VICTIM,
    asked,
    either,
    killed,
    killed_in_flight,
    kinds,
    once,
    resumed,
    told,
)
from support.forked import run
from support.ledger import Ledger

pytestmark = pytest.mark.crash


@pytest.mark.parametrize(
    ("kind", "moment", "memory"),
    [
        ("function", "before", "--stored-memory"),
        ("function", "after", "--stored-memory"),
        ("workflow", "before", ""),
        ("workflow", "after", "--stored-memory"),
    ],
)
def test_killed_while_it_aggregates_results_every_call_has_one_message(
    tmp_path: Path, kind: str, moment: str, memory: str
) -> None:
    args = ("--kind", kind, *filter(None, [memory]))
    ledger = killed(tmp_path, *args, "--hang-aggregating", moment, word="AGGREGATING")
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    outcome = resumed(tmp_path, *args)
    assert told(outcome) == PAID
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    assert asked(ledger) == once(kind)


@kinds
def test_killed_while_the_model_is_asked_again_it_hears_the_same_once_more(tmp_path: Path, kind: str) -> None:
    number = 1 if kind == "function" else 2
    args = ("--kind", kind, "--stored-memory")
    ledger = killed(tmp_path, *args, "--hang-model", str(number), word="ASKING")
    assert told(resumed(tmp_path, *args)) == PAID
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    expected = once(kind)
    last = f"A {number}" if kind == "function" else f"B {number}"
    assert asked(ledger) == {**expected, last: 2}


def test_what_json_cannot_say_comes_back_and_the_model_sees_the_same(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = resumed(tmp_path / "whole", "--odd")
    ledger = killed(tmp_path, "--odd", "--hang-model", "1", word="ASKING")
    outcome = resumed(tmp_path, "--odd")
    assert told(outcome) == told(whole)
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    raw = dict(line.split(" ", 1) for line in outcome["raw"])
    live = dict(line.split(" ", 1) for line in whole["raw"])
    assert [raw[f"call-0-{i}"] for i in range(4)] == [live[f"call-0-{i}"] for i in range(4)]
    assert raw["call-0-4"] == "'a ticket'", "of what nothing can store the text is left"


@either
def test_when_the_provider_fails_and_the_caller_runs_again_no_tool_does(
    tmp_path: Path, kind: str, mode: str
) -> None:
    number = "1" if kind == "function" else "2"
    outcome = run(
        VICTIM, [str(tmp_path), "--kind", kind, "--mode", mode, "--model-fails", number, "--tries", "2"]
    )
    assert (outcome["result"], outcome["errors"]) == ("done", ["ConnectionError"])
    assert told(outcome) == PAID
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    assert sum(asked(ledger).values()) == len(once(kind)) + 1


def test_killed_after_the_provider_failed_no_finished_tool_runs_again(tmp_path: Path) -> None:
    ledger = killed_in_flight(tmp_path)
    failed = run(VICTIM, [str(tmp_path), "--life", "2", "--model-fails", "1"])
    assert failed["errors"] == ["ConnectionError"]
    assert told(resumed(tmp_path, life=3)) == PAID
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(("kind", "mode"), [("react", "async"), ("codeact", "sync")])
@pytest.mark.parametrize("policy", ["default", "reconcile"])
def test_agents_that_call_one_tool_after_the_other_go_on_where_they_were(
    tmp_path: Path, kind: str, mode: str, policy: str
) -> None:
    args = ("--kind", kind, "--mode", mode, "--policy", policy, "--calls", "3")
    ledger = killed(tmp_path, *args, "--hang-after", "1", "--ready", "2")
    assert ledger.counts("effect", range(3)) == [1, 1, 0]
    outcome = resumed(tmp_path, *args)
    assert ledger.counts("effect", range(3)) == [1, 2 if policy == "default" else 1, 1]
    assert asked(ledger) == {"A 0": 1, "A 1": 1, "A 2": 1, "A 3": 1}
    texts = [message["text"] for message in outcome["heard"]]
    assert [sum(f"paid {i}" in text for text in texts) for i in range(3)] == [1, 1, 1]
