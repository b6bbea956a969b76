"""Two processes on one run: at the same instant, beside one that is stuck, and after it was taken over."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.forked import Child
from support.ledger import Ledger
from support.lives import FIVE, ONE_TASK, PAID, child, doors, modes, resumed
from toolslot import BatchKey, DiskJournal
from toolslot._domain._identity import Owner
from toolslot.journal import Release, TakeOver

pytestmark = pytest.mark.crash


@doors
@modes
def test_two_processes_that_resume_at_once_run_every_call_once_and_get_the_same_results(
    tmp_path: Path, door: str, mode: str
) -> None:
    args = ("--door", door, "--mode", mode, "--policy", "reconcile")
    with child(tmp_path, *args, "--hang-before", "2,3,4", "--ready", "5") as first:
        first.await_line("READY")
        first.kill()
    ledger = Ledger(tmp_path / "ledger")
    with child(tmp_path, *args, "--life", "2") as one, child(tmp_path, *args, "--life", "2") as two:
        answers = [each.report()["answers"] for each in (one, two)]
    assert answers == [PAID, PAID]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("begin", FIVE) == [1, 1, 2, 2, 2], "the first life began 2, 3 and 4 too"


def stopped(folder: Path, door: str, *args: str) -> Child:
    """A process that was stopped while calls 3 and 4 hang, after their effects, and while it holds no lock of SQLite."""
    ready = 5 if door in ONE_TASK else 8  # LangGraph saves the results of tasks while others run
    hang = ("--hang-after", "3,4", "--release", "--count-saves", "--ready", str(ready))
    first = child(folder, "--door", door, *args, *hang)
    first.await_line("READY")
    first.signal(signal.SIGSTOP)
    return first


@doors
@modes
def test_beside_a_stopped_process_that_lives_nothing_runs_twice(tmp_path: Path, door: str, mode: str) -> None:
    ledger = Ledger(tmp_path / "ledger")
    args = ("--door", door, "--mode", mode, "--policy", "reconcile")
    with stopped(tmp_path, door, *args) as first:
        assert resumed(tmp_path, *args, "--busy-timeout", "0.2")["error"] == "BatchBusy"
        assert ledger.counts("asked", FIVE) == [0] * 5, "a living owner's calls are not reconciled"
        (tmp_path / "release").touch()
        first.signal(signal.SIGCONT)
        assert first.report()["answers"] == PAID
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]


@doors
@modes
def test_a_second_process_waits_for_a_call_that_hangs_in_the_first_and_shares_its_result(
    tmp_path: Path, door: str, mode: str
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    args = ("--door", door, "--mode", mode, "--policy", "reconcile", "--stamp")
    with child(tmp_path, *args, "--hang-before", "4", "--ready", "5", "--release") as first:
        first.await_line("READY")
        assert resumed(tmp_path, *args, "--busy-timeout", "0.2")["error"] == "BatchBusy"
        with child(tmp_path, *args, "--life", "2") as second:
            second.await_line("RESUMES")
            (tmp_path / "release").touch()
            answers = [each.report()["answers"] for each in (first, second)]
    assert answers == [[f"paid {i} in life 1" for i in FIVE]] * 2
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]


def take_over_by_force(folder: Path) -> None:
    """What an operator does about an owner that is alive and stuck."""
    with DiskJournal.open(folder / "journal") as journal:
        (key,) = journal.keys().result()
        record = journal.load(key).result()
        assert record is not None
        operator = Owner(process=journal.process, token="operator")
        taken = journal.submit(
            TakeOver(
                key=key,
                owner=operator,
                expected_epoch=record.fence.epoch,
                at=record.manifest.created,
                why="it is stuck",
                force=True,
            )
        ).result()
        journal.submit(Release(key=key, epoch=taken.fence.epoch)).result()
        assert isinstance(key, BatchKey)


@pytest.mark.parametrize("door", ["node", "react2", "agent+make_durable", "agent+middleware"])
def test_case_24_a_stopped_process_that_was_taken_over_changes_nothing_and_learns_it(
    tmp_path: Path, door: str
) -> None:
    ledger = Ledger(tmp_path / "ledger")
    args = ("--door", door, "--policy", "reconcile")
    with stopped(tmp_path, door, *args) as first:
        busy = resumed(tmp_path, *args, "--busy-timeout", "0.3")
        assert busy["error"] == "BatchBusy", "a living owner's calls are neither run nor reconciled"
        take_over_by_force(tmp_path)
        assert resumed(tmp_path, *args)["answers"] == PAID
        before = ledger.lines()
        (tmp_path / "release").touch()
        first.signal(signal.SIGCONT)
        late = first.report()
    assert late["error"] == "Fenced"
    assert ledger.lines() == before
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert resumed(tmp_path, "--life", "3", *args)["answers"] == PAID
