"""A real disk that is full, or can only be read, at every moment of a journal's life."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.batches import manifest, reserve, reserving
from support.doctoring import FindingKind, diagnose, repair, salvage
from support.examining import examined
from support.harness import batch
from support.sickness import Resumed, cut_short, resume
from support.small_disk import SmallDisk, small_disk
from toolslot import DurableExecutor, RunPurged
from toolslot._domain._slot import SlotState
from toolslot._errors import JournalFull, JournalReadOnly
from toolslot.journal import Append, DiskJournal, Purge
from toolslot.journal._queue import _committer
from toolslot.testing._worker import PATIENCE, do

BIG = "x" * 200_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def home(disk: SmallDisk) -> Path:
    return disk.path / "journal"


def opened(home: Path) -> DiskJournal:
    return DiskJournal.open(home, durability="process")  # "power" would warn that the disk is in memory


def test_full_at_reserve_no_tool_runs_and_later_all_do(disk: SmallDisk, home: Path) -> None:
    ran: list[int] = []

    def tool(i: int) -> int:
        ran.append(i)
        return i

    with opened(home) as journal:
        executor = DurableExecutor(journal)
        executor.run_all(batch("t", run="before"), {"t": tool})
        ran.clear()
        calls = batch(*["t"] * 20, args={"text": BIG}, run="big")
        with disk.full():
            with pytest.raises(JournalFull, match="Make room"):
                executor.run_all(calls, {"t": lambda text: ran.append(len(text))})
            assert ran == [], "nothing ran that was not reserved"
            assert len(journal.keys().result(PATIENCE)) == 1, "what was recorded can be read"
        assert executor.run_all(batch("t", "t", run="big"), {"t": tool}) == [0, 1]
        assert examined(journal).sound


def test_full_at_the_start_mark_the_tools_code_is_not_entered(disk: SmallDisk, home: Path) -> None:
    entered: list[int] = []
    with opened(home) as journal:
        run = DurableExecutor(journal).open(batch(*["t"] * 400))
        run.__enter__()
        failed: int | None = None
        for index in range(400):
            disk.fill()
            try:
                run.call(index, lambda index=index: entered.append(index))
            except JournalFull:
                failed = index
                break
        assert failed is not None
        record = journal.load(run.key).result(PATIENCE)
        assert record is not None
        in_doubt = record.slots[failed].state
        if failed in entered:
            assert in_doubt is SlotState.RUNNING, (
                "it was its result that found no room: nobody calls it not done"
            )
        else:
            assert in_doubt is SlotState.RESERVED
        disk.make_room()
        run.release()  # as long as it is open its owner is at work, also when the journal is closed
    resumed = resume_all(home)
    assert resumed.ran == [i for i in range(400) if i not in entered or i == failed]


def resume_all(home: Path) -> Resumed:
    ran: list[int] = []

    def tool(i: int) -> int:
        ran.append(i)
        return i

    with opened(home) as journal:
        results = DurableExecutor(journal).run_all(batch(*["t"] * 400), {"t": tool})
    return Resumed(results, sorted(ran))


def test_full_at_record_the_result_waits_for_room(
    disk: SmallDisk, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_committer, "_ROOM_DELAYS", (0.01,) * 5000)
    with opened(home) as journal:
        worker = reserve(journal)
        worker.start(0)
        disk.fill()
        future = journal.submit(Append(key=worker.key, row=worker.finished(0, BIG)))
        assert worker.slot(0).state is SlotState.RUNNING
        assert not future.done()
        disk.make_room()
        assert future.result(PATIENCE).state is SlotState.SUCCEEDED


def test_full_at_record_for_long_the_result_is_refused_and_the_slot_stays_in_doubt(
    disk: SmallDisk, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_committer, "_ROOM_DELAYS", (0.01,))
    with opened(home) as journal:
        worker = reserve(journal)
        worker.start(0)
        with disk.full():
            worker.refused(JournalFull, worker.finished(0, BIG))
        assert worker.slot(0).state is SlotState.RUNNING
        assert examined(journal).sound
    with opened(home) as journal:
        assert worker.through(journal).slot(0).state is SlotState.RUNNING


def test_full_in_the_middle_of_a_large_value_leaves_parts_that_are_named_and_removed(
    home: Path, tmp_path: Path
) -> None:
    with opened(home) as journal:
        worker = reserve(journal)
        worker.start(0)
        worker.refused(JournalFull, worker.finished(0, "y" * 9_000_000))
        assert worker.slot(0).state is SlotState.RUNNING
    assert diagnose(home).of(FindingKind.ORPHAN_CHUNKS)
    with pytest.raises(JournalFull):
        repair(home)  # there is no room for its copy
    elsewhere = shutil.copytree(home, tmp_path / "elsewhere")
    report = repair(elsewhere)
    assert not report.after.of(FindingKind.ORPHAN_CHUNKS)
    assert report.after.sound


def test_full_at_closing_nothing_is_lost(disk: SmallDisk, home: Path) -> None:
    journal = opened(home)
    worker = reserve(journal)
    worker.run(0, BIG)
    with disk.full():
        journal.close()
    with opened(home) as again:
        assert worker.through(again).slot(0).state is SlotState.SUCCEEDED
        assert examined(again).sound


def test_full_at_purge_the_run_is_purged_or_whole_and_can_be_purged_when_there_is_room(
    disk: SmallDisk, home: Path
) -> None:
    with opened(home) as journal:
        worker = reserve(journal)
        for index in range(2):
            worker.run(index, BIG)
        purge = Purge(run_id="run", at=0.0, why="enough")
        disk.fill()
        error = journal.submit(purge).exception(PATIENCE)
        assert error is None or isinstance(error, JournalFull)
        assert examined(journal).sound
        disk.make_room()
        do(journal, purge)
        with pytest.raises(RunPurged):
            do(journal, reserving(journal, manifest(1)))
    assert not diagnose(home).of(FindingKind.DELETION)


def test_full_at_opening_says_so_and_harms_nothing(disk: SmallDisk, home: Path) -> None:
    with opened(home) as journal:
        worker = reserve(journal)
        worker.run(0)
    with disk.full():
        try:
            opened(home).close()
        except JournalFull as error:
            assert str(home) in str(error)
        with DiskJournal.open(home, read_only=True) as view:
            assert worker.through(view).slot(0).state is SlotState.SUCCEEDED
        assert diagnose(home).of(FindingKind.LITTLE_ROOM)
    with opened(home) as journal:
        assert worker.through(journal).slot(0).state is SlotState.SUCCEEDED


def test_full_at_the_making_of_a_journal_leaves_nothing_in_the_way(disk: SmallDisk, home: Path) -> None:
    with disk.full(), pytest.raises(JournalFull):
        opened(home)
    with opened(home) as journal:
        reserve(journal).run(0)
        assert examined(journal).sound


def test_full_at_a_salvage_leaves_no_half_made_journal(disk: SmallDisk, home: Path) -> None:
    with opened(home) as journal:
        reserve(journal).run(0)
    with disk.full():
        with pytest.raises(JournalFull):
            salvage(home, disk.path / "new")
        assert not (disk.path / "new").exists()


def test_on_a_read_only_disk_a_journal_can_be_looked_at_examined_and_salvaged(
    disk: SmallDisk, home: Path, tmp_path: Path
) -> None:
    cut_short(home, ["run-1"])
    with opened(home) as journal:
        (key,) = journal.keys().result(PATIENCE)
    with disk.read_only():
        with pytest.raises(JournalReadOnly, match="read_only=True"):
            opened(home)
        with DiskJournal.open(home, read_only=True) as view:
            record = view.load(key).result(PATIENCE)
            assert record is not None
            assert record.slots[1].state is SlotState.SUCCEEDED
        assert diagnose(home).sound
        assert salvage(home, tmp_path / "salvaged").complete
    assert resume(tmp_path / "salvaged", "run-1").ran == [2]
