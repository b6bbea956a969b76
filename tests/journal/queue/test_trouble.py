"""A store that fails: what is retried, what waits, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.batches import reserve
from support.log_store import LONG, LogJournal
from support.queues import Hold, sound
from toolslot._domain._slot import Row, SlotState
from toolslot._errors import JournalCorrupt, JournalError, JournalFull, JournalIOError
from toolslot.journal import Append
from toolslot.journal._queue import _committer
from toolslot.testing._worker import PATIENCE, Worker


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[LogJournal]:
    journal = LogJournal(tmp_path / "journal")
    yield journal
    journal.close()


@pytest.fixture
def worker(journal: LogJournal) -> Worker:
    worker = reserve(journal, 4)
    worker.start(0)
    return worker


def write(worker: Worker, *rows: Row) -> list[BaseException | None]:
    """Hand them in at once; the errors."""
    futures = [worker.journal.submit(Append(key=worker.key, row=row)) for row in rows]
    return [future.exception(PATIENCE) for future in futures]


def states(worker: Worker) -> list[SlotState]:
    return [slot.state for slot in worker.record().slots]


def test_a_result_waits_for_room_and_what_is_behind_it_waits_too(
    journal: LogJournal, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_committer, "_ROOM_DELAYS", (0.01, 0.01))
    journal.back_end.troubles += [JournalFull("no room")] * 2
    assert write(worker, worker.finished(0), worker.started(1)) == [None, None]
    assert states(worker)[:2] == [SlotState.SUCCEEDED, SlotState.RUNNING]


def test_a_result_that_finds_no_room_for_long_is_refused_and_a_start_mark_at_once(
    journal: LogJournal, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_committer, "_ROOM_DELAYS", (0.01, 0.01))
    for row, tries in ((worker.finished(0), 3), (worker.started(1), 1)):
        journal.back_end.troubles += [JournalFull("no room")] * tries
        (error,) = write(worker, row)
        assert isinstance(error, JournalFull)
        assert journal.back_end.troubles == []
    assert states(worker)[:2] == [SlotState.RUNNING, SlotState.RESERVED]
    assert worker.finish(0).state is SlotState.SUCCEEDED


@pytest.mark.parametrize("error", [JournalIOError("gone"), JournalCorrupt("damaged")])
def test_a_commit_that_fails_for_one_of_a_group_is_tried_for_each_alone(
    journal: LogJournal, worker: Worker, error: JournalError, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, groups = _committer.Committer.commit, list[int]()

    def held(self: _committer.Committer, items: list[object], **settings: bool) -> object:
        groups.append(len(items))
        return commit(self, items, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(_committer.Committer, "commit", held)
    with Hold(journal):
        journal.back_end.troubles += [None, error, error]  # the first is the one that holds
        futures = [journal.submit(Append(key=worker.key, row=worker.started(index))) for index in (1, 2, 3)]
    assert [type(future.exception(PATIENCE)) for future in futures] == [type(error), type(None), type(None)]
    assert groups[-4:] == [3, 1, 1, 1]
    assert states(worker) == [SlotState.RUNNING, SlotState.RESERVED, SlotState.RUNNING, SlotState.RUNNING]


def test_a_defect_of_the_store_is_told_to_whom_it_concerns(journal: LogJournal, worker: Worker) -> None:
    journal.back_end.troubles += [ZeroDivisionError("a bug")]
    (error,) = write(worker, worker.started(1))
    assert isinstance(error, ZeroDivisionError)
    assert worker.start(1).state is SlotState.RUNNING


def test_a_large_value_is_written_before_the_commit_that_names_it(
    journal: LogJournal, worker: Worker
) -> None:
    value = "x" * (3 * LONG)
    worker.finish(0, value)
    (part,) = (Path(journal.location) / "parts").iterdir()
    assert value in part.read_text()
    assert sound(journal)
