"""Looking at a journal that others work on, or that one may not write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.batches import manifest, reserve, reserving
from support.examining import examined
from support.nobody import as_nobody, common_ground, needs_root
from toolslot._domain._slot import SlotState
from toolslot._errors import JournalReadOnly, JournalUnavailable, JournalUnsafe
from toolslot.journal import DiskJournal, OwnerState
from toolslot.testing._worker import PATIENCE, Worker, do


@pytest.fixture
def worker(journal: DiskJournal) -> Worker:
    worker = reserve(journal, 3)
    worker.run(0)
    return worker


@pytest.fixture
def view(worker: Worker, root: Path) -> Iterator[DiskJournal]:
    with DiskJournal.open(root, read_only=True) as opened:
        yield opened


def test_it_sees_what_is_there_and_what_comes(view: DiskJournal, worker: Worker) -> None:
    assert worker.through(view).record() == worker.record()
    worker.run(1)
    assert worker.through(view).slot(1).state is SlotState.SUCCEEDED
    assert view.keys().result(PATIENCE) == (worker.key,)
    assert view.run_payload("run").result(PATIENCE) is None


def test_it_refuses_to_write(view: DiskJournal, worker: Worker) -> None:
    with pytest.raises(JournalReadOnly, match="read_only=True"):
        do(view, reserving(view, manifest(1, batch="other")))
    worker.through(view).refused(JournalReadOnly, worker.started(1))
    assert worker.slot(1).state is SlotState.RESERVED


def test_it_leaves_no_lock_and_no_owner(view: DiskJournal, root: Path) -> None:
    assert len(list((root / "owners").iterdir())) == 1, "the writer's"


def test_it_tells_the_state_of_owners(view: DiskJournal, worker: Worker) -> None:
    assert worker.through(view).record().owner_state is OwnerState.DEAD
    worker.journal.enlist(worker.owner)
    assert worker.through(view).record().owner_state is OwnerState.ALIVE


def test_closing_it_harms_no_writer(worker: Worker, root: Path) -> None:
    DiskJournal.open(root, read_only=True).close()
    worker.run(1)
    script = (
        "import fcntl,os,sys; fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    (lock,) = (root / "owners").iterdir()
    done = subprocess.run([sys.executable, "-c", script, str(lock)], stderr=subprocess.DEVNULL, check=False)
    assert done.returncode != 0, "the writer's owner lock is still held"


def test_where_there_is_no_journal_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="no journal"):
        DiskJournal.open(tmp_path / "nothing", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_others_can_write_is_refused(worker: Worker, root: Path) -> None:
    (root / "db").chmod(0o777)
    with pytest.raises(JournalUnsafe):
        DiskJournal.open(root, read_only=True)
    (root / "db").chmod(0o700)


def test_a_closed_journal_can_be_looked_at_and_stays_as_it_is(root: Path) -> None:
    with DiskJournal.open(root) as journal:
        worker = reserve(journal)
    before = (root / "db" / "cache.db").read_bytes()
    with DiskJournal.open(root, read_only=True) as view:
        assert worker.through(view).record()
        assert examined(view).sound
    assert (root / "db" / "cache.db").read_bytes() == before


def test_a_journal_that_was_killed_can_be_looked_at(root: Path) -> None:
    pid = os.fork()
    if pid == 0:
        worker = reserve(DiskJournal.open(root))
        worker.run(0)
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    with DiskJournal.open(root, read_only=True) as view:
        (key,) = view.keys().result(PATIENCE)
        record = view.load(key).result(PATIENCE)
        assert record is not None
        assert record.slots[0].state is SlotState.SUCCEEDED
        assert record.owner_state is OwnerState.DEAD


LOOK = """
with DiskJournal.open(sys.argv[1], read_only=True) as view:
    (key,) = view.keys().result(30)
    print(view.load(key).result(30).slots[0].state.value)
"""


@needs_root
@pytest.mark.parametrize("open_elsewhere", [False, True])
def test_no_write_permission_is_needed(open_elsewhere: bool) -> None:
    with common_ground() as folder:
        root = folder / "journal"
        journal = DiskJournal.open(root)
        reserve(journal).run(0)
        if not open_elsewhere:
            journal.close()
        try:
            for path in (root, root / "db", root / "owners"):
                path.chmod(0o755)
            for path in (root / "db").iterdir():
                path.chmod(0o644)
            said = as_nobody(LOOK, str(root), imports="from toolslot.journal import DiskJournal")
        finally:
            journal.close()
    assert said == "succeeded\n"


def test_a_reader_without_write_permission_sees_what_comes_after_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DiskJournal.open(root) as journal:
        worker = reserve(journal)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may do anything, so it has to be told
    with DiskJournal.open(root, read_only=True) as view:
        assert worker.through(view).record().slots[0].state is SlotState.RESERVED
        with DiskJournal.open(root) as journal:
            worker.through(journal).run(0)
            assert worker.through(view).record().slots[0].state is SlotState.SUCCEEDED
        with DiskJournal.open(root) as journal:
            worker.through(journal).run(1)
        assert worker.through(view).record().slots[1].state is SlotState.SUCCEEDED
