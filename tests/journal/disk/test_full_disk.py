"""No room, failing writes: what is recorded stays, what cannot be recorded says so."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.batches import database, manifest, reserve, reserving
from support.examining import examined
from toolslot._domain._slot import SlotState
from toolslot._errors import JournalFull, JournalIOError
from toolslot.journal import Append, DiskJournal
from toolslot.journal._queue import _committer
from toolslot.testing._worker import PATIENCE, Worker


def pragma(journal: DiskJournal, text: str) -> int:
    core = journal._session.present()
    assert core is not None
    connection = core.writer._store.connection
    return journal._ask(lambda _: connection.execute(f"PRAGMA {text}").fetchone()[0]).result(PATIENCE)


@contextmanager
def full(journal: DiskJournal) -> Iterator[None]:
    """SQLite finds no room for one more page."""
    pragma(journal, f"max_page_count={pragma(journal, 'page_count')}")
    yield
    make_room(journal)


def make_room(journal: DiskJournal) -> None:
    pragma(journal, "max_page_count=1000000")


BIG = "x" * 100_000


@pytest.fixture
def worker(journal: DiskJournal) -> Worker:
    worker = reserve(journal, 4)
    worker.run(0, "recorded before")
    worker.start(1)
    return worker


def test_a_reservation_fails_at_once_and_nothing_of_it_is_there(journal: DiskJournal, worker: Worker) -> None:
    with full(journal):
        future = journal.submit(reserving(journal, manifest(2000, batch="other")))
        with pytest.raises(JournalFull, match="nothing of this was recorded"):
            future.result(PATIENCE)
        assert len(journal.keys().result(PATIENCE)) == 1, "reading goes on"
        assert worker.slot(0).state is SlotState.SUCCEEDED


def test_a_result_is_kept_until_there_is_room(
    journal: DiskJournal, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_committer, "_ROOM_DELAYS", (0.01,) * 2000)
    met_full = threading.Event()
    without_room = _committer.Committer._without_room

    def watched(self: _committer.Committer, *args: object) -> object:
        met_full.set()
        return without_room(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(_committer.Committer, "_without_room", watched)
    with full(journal):
        future = journal.submit(Append(key=worker.key, row=worker.finished(1, BIG)))
        assert met_full.wait(PATIENCE)
        assert worker.slot(0).state is SlotState.SUCCEEDED, "reading goes on meanwhile"
        assert not future.done()
        make_room(journal)
        assert future.result(PATIENCE).state is SlotState.SUCCEEDED
    assert examined(journal).sound


def test_what_comes_after_a_result_that_waits_for_room_stays_behind_it(
    journal: DiskJournal, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_committer, "_ROOM_DELAYS", (0.01,) * 2000)
    order: list[str] = []
    with full(journal):
        first = journal.submit(Append(key=worker.key, row=worker.finished(1, BIG)))
        second = journal.submit(Append(key=worker.key, row=worker.started(2)))
        first.add_done_callback(lambda _: order.append("result"))
        second.add_done_callback(lambda _: order.append("start"))
        make_room(journal)
        first.result(PATIENCE)
        second.result(PATIENCE)
    assert order == ["result", "start"]


def test_a_result_that_finds_no_room_for_long_fails_and_can_be_handed_in_again(
    journal: DiskJournal, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_committer, "_ROOM_DELAYS", (0.01, 0.01))
    row = worker.finished(1, BIG)
    with full(journal):
        worker.refused(JournalFull, row)
        assert worker.slot(1).state is SlotState.RUNNING
    assert worker.write(row).state is SlotState.SUCCEEDED
    assert examined(journal).sound


def test_small_records_of_a_group_are_written_although_a_big_one_finds_no_room(
    journal: DiskJournal, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_committer, "_ROOM_DELAYS", ())
    worker.start(2)
    with full(journal):
        rows = [worker.finished(1, BIG), worker.finished(2, "")]
        big, small = [journal.submit(Append(key=worker.key, row=row)) for row in rows]
        assert isinstance(big.exception(PATIENCE), JournalFull)
        assert small.exception(PATIENCE) is None or isinstance(small.exception(), JournalFull)
    states = [slot.state for slot in worker.record().slots]
    assert states[1] is SlotState.RUNNING
    assert states[2] is (SlotState.SUCCEEDED if small.exception() is None else SlotState.RUNNING)


@contextmanager
def writes_fail_beyond(size: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond `size`: to SQLite an I/O error, not a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failing_write_is_told_and_the_journal_goes_on_when_it_works_again(
    journal: DiskJournal, worker: Worker, root: Path
) -> None:
    wal = database(root).with_name("cache.db-wal")
    row = worker.finished(1, BIG)
    with writes_fail_beyond(wal.stat().st_size + 4096):
        future = journal.submit(Append(key=worker.key, row=row))
        with pytest.raises(JournalIOError, match="durable is unknown"):
            future.result(PATIENCE)
    assert worker.write(row).state is SlotState.SUCCEEDED
    assert examined(journal).sound
