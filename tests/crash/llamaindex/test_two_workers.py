"""Two processes with one run id: at the same time, and one beside another that is stuck."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from crash.llamaindex.lives import FIVE, PAID, VICTIM, child, either, killed_in_flight, kinds, resumed, told
from support.forked import run
from support.ledger import Ledger

pytestmark = pytest.mark.crash

STAMPED = [f"paid {i} in life 1" for i in FIVE]


def heard(outcomes: list[Any]) -> list[str]:
    """What the models were told of the five calls: the same in every process that asked them, which may be either or both."""
    found = {tuple(told(outcome)) for outcome in outcomes if outcome["heard"]}
    (texts,) = {texts for texts in found if len(texts) == len(FIVE)}
    return list(texts)


@either
def test_a_second_worker_beside_one_that_lives_shares_its_results(
    tmp_path: Path, kind: str, mode: str
) -> None:
    args = ("--kind", kind, "--mode", mode, "--policy", "reconcile", "--stamp")
    ready = "6" if kind == "workflow" else "5"
    with child(tmp_path, *args, "--hang-after", "3,4", "--ready", ready, "--release") as first:
        first.await_line("READY")
        replays = ("--life", "2", "--counting", "replayed", "--ready", str(int(ready) - 2))
        with child(tmp_path, *args, *replays) as second:
            second.await_line("READY")
            (tmp_path / "release").touch()
            outcomes = [each.report() for each in (first, second)]
    ledger = Ledger(tmp_path / "ledger")
    assert [outcome["result"] for outcome in outcomes] == ["done", "done"]
    assert heard(outcomes) == STAMPED
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 0, 0], "a living owner's calls are not reconciled"


@kinds
def test_beside_a_stopped_process_that_lives_nothing_runs_and_the_second_says_so(
    tmp_path: Path, kind: str
) -> None:
    args = ("--kind", kind, "--policy", "reconcile")
    ready = "6" if kind == "workflow" else "5"
    with child(tmp_path, *args, "--hang-after", "3,4", "--ready", ready, "--release") as first:
        first.await_line("READY")
        first.signal(signal.SIGSTOP)
        busy = run(VICTIM, [str(tmp_path), "--life", "2", *args, "--busy-timeout", "0.2"])
        assert (busy["result"], busy["errors"]) == ("", ["BatchBusy"])
        (tmp_path / "release").touch()
        first.signal(signal.SIGCONT)
        assert told(first.report()) == PAID
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 0, 0]
    assert resumed(tmp_path, *args, life=3)["heard"] == []


def test_two_workers_that_begin_at_once_run_every_call_once(tmp_path: Path) -> None:
    with child(tmp_path, "--stamp") as one, child(tmp_path, "--stamp", "--life", "2") as two:
        outcomes = [each.report() for each in (one, two)]
    assert [(outcome["result"], outcome["errors"]) for outcome in outcomes] == [("done", [])] * 2
    assert Ledger(tmp_path / "ledger").counts("begin", FIVE) == [1, 1, 1, 1, 1]
    assert [text.partition(" in")[0] for text in heard(outcomes)] == PAID


def test_two_workers_that_resume_at_once_run_every_call_once(tmp_path: Path) -> None:
    args = ("--policy", "reconcile", "--stamp")
    ledger = killed_in_flight(tmp_path, *args)
    with child(tmp_path, *args, "--life", "2") as one, child(tmp_path, *args, "--life", "2") as two:
        outcomes = [each.report() for each in (one, two)]
    assert [(outcome["result"], outcome["errors"]) for outcome in outcomes] == [("done", [])] * 2
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 2]
