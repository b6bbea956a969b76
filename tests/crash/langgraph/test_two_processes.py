"""Two processes on one run: at the same instant, and one after the other was stopped and taken over."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.ledger import Ledger
from support.processes import Child, run
from toolslot import BatchKey, DiskJournal
from toolslot._identity import Owner
from toolslot.journal import Release, TakeOver

pytestmark = pytest.mark.crash

VICTIM = Path(__file__).parent / "victim.py"
FIVE = range(5)
PAID = [f"paid {i}" for i in FIVE]


def killed(folder: Path) -> Ledger:
    with Child(VICTIM, str(folder), "--hang-before", "2,3,4", "--ready", "5") as child:
        child.await_line("READY")
        child.kill()
    return Ledger(folder / "ledger")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_two_processes_that_resume_at_once_run_every_call_once_and_get_the_same_results(
    tmp_path: Path, mode: str
) -> None:
    ledger = killed(tmp_path)
    args = [str(tmp_path), "--life", "2", "--mode", mode, "--policy", "reconcile"]
    with Child(VICTIM, *args) as one, Child(VICTIM, *args) as two:
        answers = [child.report()["answers"] for child in (one, two)]
    assert answers == [PAID, PAID]
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("begin", FIVE) == [1, 1, 2, 2, 2], "the first life began 2, 3 and 4 too"


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


def test_case_24_a_stopped_process_that_was_taken_over_changes_nothing_and_learns_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    args = (str(tmp_path), "--policy", "reconcile")
    with Child(VICTIM, *args, "--hang-after", "3,4", "--ready", "5", "--release") as first:
        first.await_line("READY")
        first.signal(signal.SIGSTOP)
        busy = run(VICTIM, [*args, "--life", "2", "--busy-timeout", "0.3"])
        assert busy["error"] == "BatchBusy", "a living owner's calls are neither run nor reconciled"
        take_over_by_force(tmp_path)
        assert run(VICTIM, [*args, "--life", "2"])["answers"] == PAID
        before = ledger.lines()
        (tmp_path / "release").touch()
        first.signal(signal.SIGCONT)
        late = first.report()
    assert late["error"] == "Fenced"
    assert ledger.lines() == before
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert run(VICTIM, [*args, "--life", "3"])["answers"] == PAID
