"""What the disk journal does when others write, when its memory is full, and when nothing is to be done."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.apart import open_apart
from support.batches import reserve
from toolslot._domain._slot import SlotState
from toolslot._errors import Fenced
from toolslot.journal import Append, DiskJournal
from toolslot.journal._queue import _writer
from toolslot.testing._worker import PATIENCE, do


def test_what_another_process_wrote_is_seen_at_once(root: Path) -> None:
    one, two = open_apart(root), open_apart(root)
    try:
        worker = reserve(one, 20)
        other = worker.through(two)
        for index in range(20):  # both keep the batch in memory, and both write it
            (worker if index % 2 else other).run(index)
            assert worker.slot(index).state is SlotState.SUCCEEDED
            assert other.slot(index).state is SlotState.SUCCEEDED
        later = worker.succeed(two, worker.owner)
        with pytest.raises(Fenced):
            do(one, Append(key=worker.key, row=worker.started(0, attempt=2)))
        assert worker.record() == later.record()
    finally:
        one.close()
        two.close()


def test_more_batches_than_fit_in_memory_are_read_again(journal: DiskJournal) -> None:
    core = journal._session.present()
    assert core is not None
    core.writer._store.states._most_slots = 10
    workers = [reserve(journal, 4, batch=f"batch {number}") for number in range(10)]
    for index in range(4):
        for worker in workers:
            worker.run(index)
    assert len(core.writer._store.states) <= 3
    assert all(worker.record().settled for worker in workers)


def wal_size(root: Path) -> int:
    return (root / "db" / "cache.db-wal").stat().st_size


def test_the_write_ahead_log_does_not_grow_without_end(journal: DiskJournal, root: Path) -> None:
    worker = reserve(journal, 400)
    for index in range(400):
        worker.write(worker.started(index))
        worker.write(worker.finished(index, "x" * 20_000))
    assert wal_size(root) < 16 * 2**20


def test_an_idle_journal_rests(journal: DiskJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []
    step = _writer.Writer._step

    def counted(self: _writer.Writer) -> None:
        steps.append(time.monotonic())
        step(self)

    monkeypatch.setattr(_writer, "_IDLE", 0.01)
    monkeypatch.setattr(_writer.Writer, "_step", counted)
    reserve(journal).run(0)
    core = journal._session.present()
    assert core is not None
    deadline = time.monotonic() + PATIENCE
    while core.writer._store.upkeep_wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not core.writer._store.upkeep_wanted, "what was written was moved into the database"
    before = len(steps)
    time.sleep(0.2)
    assert len(steps) - before <= 2, "then nothing wakes it"
