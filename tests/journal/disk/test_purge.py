"""Purging a run: the tombstone first and for ever, then everything else, a little at a time."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
import threading
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from support.apart import open_apart
from support.batches import CLOCK, database, manifest, reserve, reserving
from support.examining import examined
from toolslot import Encryption
from toolslot._domain._slot import BatchKey, BatchRecord
from toolslot._errors import JournalBusy, JournalCorrupt, RunPurged
from toolslot.journal import Append, DiskJournal, Purge, purge_older
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk import _store
from toolslot.journal._disk._store import Store
from toolslot.testing._worker import PATIENCE, do


def purging(run: str = "run") -> Purge:
    return Purge(run_id=run, at=CLOCK(), why="asked to forget")


def rows(root: Path, like: str = "%") -> list[str]:
    with closing(sqlite3.connect(database(root))) as connection:
        return [
            key
            for (key,) in connection.execute("SELECT key FROM Cache WHERE key LIKE ? ORDER BY key", (like,))
        ]


def fill(journal: DiskJournal, run: str) -> None:
    for number in range(30):
        worker = reserve(journal, 3, run=run, batch=f"batch {number}", lineage=f"lineage {number}")
        worker.run(0, "my secret" * 10)
    worker.run(1, "another secret" * 50_000)
    do(journal, replace(reserving(journal, manifest(1, run=run, batch="last")), run_payload=b"turn"))


def test_nothing_but_the_tombstone_is_left_when_the_future_is_done(journal: DiskJournal, root: Path) -> None:
    fill(journal, "run")
    fill(journal, "other run")
    kept = [key for key in rows(root) if "other" in key or key.startswith("meta/")]
    do(journal, purging())
    left = [key for key in rows(root) if key not in kept]
    assert all(key.startswith("t/run/") for key in left)
    assert len(left) == 1 + 31 + 30, "of the purge, of batches and of lineages"
    assert not any("batch" in key or "lineage" in key for key in left)
    assert examined(journal).sound


def test_no_byte_of_a_purged_value_is_left_in_the_files(root: Path) -> None:
    def found() -> (
        bool
    ):  # by another process: reading the files in this one would drop SQLite's locks on them
        return subprocess.run(["grep", "-rqa", "secret", str(root)], check=False).returncode == 0

    with DiskJournal.open(root) as journal:
        fill(journal, "run")
        assert found()
        do(journal, purging())
        assert not found()
    assert not found()


def test_the_space_is_given_back(root: Path) -> None:
    with DiskJournal.open(root) as journal:
        reserve(journal, run="other")
        before = database(root).stat().st_size
        fill(journal, "run")
        do(journal, purging())
    assert database(root).stat().st_size < before + 64 * 1024


def test_other_work_goes_on_between_the_pieces(journal: DiskJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "_DELETE_ROWS", 5)
    fill(journal, "run")
    worker = reserve(journal, 1, run="other")
    purge = journal.submit(purging())
    started = threading.Event()
    journal.submit(Append(key=worker.key, row=worker.started(0))).add_done_callback(lambda _: started.set())
    assert started.wait(PATIENCE)
    assert not purge.done(), "90 rows in pieces of 5 take longer than one other commit"
    purge.result(PATIENCE)


def test_while_rows_are_being_deleted_the_run_is_purged_to_everybody(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(journal, "run")
    monkeypatch.setattr(Store, "delete_piece", lambda *_: [])
    purge = journal.submit(purging())
    with pytest.raises(RunPurged):
        reserve(journal, batch="batch 1")
    later = reserve(journal, batch="later").key
    assert journal.keys().result(PATIENCE) == (later,)
    assert journal.keys("run").result(PATIENCE) == (later,)
    assert journal.load(manifest(batch="batch 1").key).result(PATIENCE) is None
    assert journal.run_payload("run").result(PATIENCE) is None
    assert examined(journal).sound
    monkeypatch.undo()
    purge.result(PATIENCE)


def test_a_worker_of_a_purged_run_is_told_so(root: Path) -> None:
    one, two = open_apart(root), open_apart(root)
    try:
        worker = reserve(one)
        do(two, purging())
        worker.refused(RunPurged, worker.started(0))
    finally:
        one.close()
        two.close()


def interrupt_deletion(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Purge, but be disturbed before all the rows are gone."""
    calls = iter(range(100))

    def once(self: Store, run_ids: list[str]) -> list[str]:
        if next(calls):
            raise JournalBusy("disturbed")
        return []

    with DiskJournal.open(root) as journal:
        fill(journal, "run")
        with monkeypatch.context() as patch:
            patch.setattr(Store, "delete_piece", once)
            with pytest.raises(JournalBusy):
                do(journal, purging())
        assert rows(root, "b/run/%")


def test_an_interrupted_purge_is_finished_by_the_next_opener(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_deletion(root, monkeypatch)
    with DiskJournal.open(root) as journal:
        journal.keys().result(PATIENCE)
    assert [key for key in rows(root) if not key.startswith(("meta/", "t/run/"))] == []


def test_an_interrupted_purge_is_finished_by_a_later_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DiskJournal.open(root) as journal:
        interrupt_deletion(root, monkeypatch)
        do(journal, purging())
        assert [key for key in rows(root) if not key.startswith(("meta/", "t/run/"))] == []


def test_closing_does_not_wait_for_ever_for_a_purge(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolslot._errors import JournalClosed
    from toolslot.journal._queue import _writer

    monkeypatch.setattr(_writer, "_DELETING_AT_CLOSE", 0.0)
    journal = DiskJournal.open(root)
    fill(journal, "run")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "delete_piece", lambda *_: [])
        purge = journal.submit(purging())
        journal.close()
    assert isinstance(purge.exception(PATIENCE), JournalClosed)
    assert "is purged" in str(purge.exception())
    with DiskJournal.open(root) as again:
        with pytest.raises(RunPurged):
            reserve(again, batch="batch 1")
        do(again, purging())
    assert rows(root, "b/%") == []


def test_what_a_run_does_while_its_purged_rows_are_deleted_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_store, "_DELETE_ROWS", 5)
    with DiskJournal.open(root) as journal:
        fill(journal, "run")
        purge = journal.submit(purging())
        worker = reserve(journal, 2, batch="later", lineage="later response")
        worker.run(0, "kept")
        assert not purge.done(), "its rows go in many pieces"
        purge.result(PATIENCE)
        assert examined(journal).sound
    with DiskJournal.open(root) as journal:
        record = journal.load(worker.key).result(PATIENCE)
        assert record is not None
        assert record.slots[0].outcome is not None
        assert record.slots[0].outcome.data == b"kept"
        assert journal.keys("run").result(PATIENCE) == (worker.key,)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_purge_under_a_key_leaves_digests_that_only_the_key_makes(root: Path, when: str) -> None:
    """And those of a purge from before encryption was turned on count as well."""
    locked = Encryption([b"1" * 32])
    with DiskJournal.open(root, encryption=None if when == "before" else locked) as journal:
        reserve(journal, lineage="response")
        do(journal, purging())
    plain = {keys.tombstone(keys.batch_prefix(manifest().key), None)}
    assert (plain & {*rows(root)} == plain) == (when == "before")
    with DiskJournal.open(root, encryption=locked) as journal:
        for batch in ("batch", "fork"):
            with pytest.raises(RunPurged):
                reserve(journal, batch=batch, lineage="response")
        reserve(journal, batch="later")


def old_runs(journal: DiskJournal, count: int) -> list[str]:
    """So many runs with three batches each, all of whose calls are done."""
    names = [f"run {number:03}" for number in range(count)]
    for name in names:
        for number in range(3):
            worker = reserve(journal, 2, run=name, batch=f"batch {number}")
            worker.run(0)
            worker.run(1)
            worker.release(closed=True)
    return names


def records_in_memory() -> int:
    return sum(isinstance(thing, BatchRecord) for thing in gc.get_objects())


def test_a_purge_by_age_never_holds_more_than_a_record_or_two(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = old_runs(journal, 30)
    seen: list[int] = []
    load = DiskJournal.load

    def counting(self: DiskJournal, key: BatchKey) -> Future[BatchRecord | None]:
        if key.batch_id == "batch 2" and key.run_id.endswith("9"):
            seen.append(records_in_memory())
        return load(self, key)

    before = records_in_memory()
    monkeypatch.setattr(DiskJournal, "load", counting)
    assert sorted(purge_older(journal, 1.0, clock=CLOCK).purged) == names
    assert len(seen) == 3
    assert max(seen) - before <= 3


def test_a_run_with_a_damaged_batch_stays_and_holds_up_no_other(root: Path) -> None:
    with DiskJournal.open(root) as journal:
        names = old_runs(journal, 3)
    with closing(sqlite3.connect(database(root))) as connection, connection:
        damage = "UPDATE Cache SET value = x'00' WHERE key LIKE 'b/run%001/batch%1/#m'"
        assert connection.execute(damage).rowcount == 1
    with DiskJournal.open(root) as journal:
        found = purge_older(journal, 1.0, clock=CLOCK)
        assert found.purged == (names[0], names[2])
        assert [run for run, _ in found.kept] == [names[1]]
        assert "cannot be read" in found.kept[0][1]


def test_a_run_whose_rows_cannot_be_deleted_fails_alone(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = old_runs(journal, 5)
    delete = Store.delete_piece

    def damaged(self: Store, run_ids: list[str]) -> list[str]:
        if "run 002" in run_ids:
            raise JournalCorrupt("a page is damaged")
        return delete(self, run_ids)

    monkeypatch.setattr(Store, "delete_piece", damaged)
    purges = {name: journal.submit(purging(name)) for name in names}
    errors = {name: type(purge.exception(PATIENCE)) for name, purge in purges.items()}
    assert errors == {name: JournalCorrupt if name == "run 002" else type(None) for name in names}


def test_the_write_ahead_log_stays_short_while_a_large_run_is_deleted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 0
    delete = Store.delete_piece

    def watching(self: Store, run_ids: list[str]) -> list[str]:
        nonlocal longest
        longest = max(longest, Path(self.place.wal).stat().st_size)
        return delete(self, run_ids)

    with DiskJournal.open(root) as journal:
        for number in range(24):
            worker = reserve(journal, 1, batch=f"batch {number}")
            worker.run(0, "x" * 2**20)
        monkeypatch.setattr(Store, "delete_piece", watching)
        do(journal, purging())
    assert 0 < longest < 12 * 2**20, "a piece and a checkpoint's worth, not all that was deleted"
