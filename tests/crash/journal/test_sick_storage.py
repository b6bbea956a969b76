"""Storage that falls ill under a running process: one clear error with the remedy, or it is survived; nothing recorded is forgotten."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.batches import database
from support.doctoring import FindingKind, diagnose
from support.examining import examined
from support.powercut import shim
from toolslot import BatchKey
from toolslot._domain._slot import SlotState
from toolslot.journal import DiskJournal

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "sick_victim.py"


class Victim:
    """A process that works on a journal, with a shim below it through which its disk can be made to fail."""

    def __init__(self, root: Path, library: Path | None = None) -> None:
        self._fault = root.with_name("fault")
        under_shim = {
            "LD_PRELOAD": str(library),
            "POWERCUT_ROOT": str(root),
            "POWERCUT_LOG": os.devnull,
            "POWERCUT_FAULT": str(self._fault),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(root), "power"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                **(under_shim if library else {}),
            },
        )
        assert self._answer() == "ok open"

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    @contextmanager
    def failing(self, number: int) -> Iterator[None]:
        """Whatever would change a file of the journal fails with this errno."""
        made = self._fault.with_name("fault.new")
        made.write_text(str(number))
        made.replace(self._fault)
        yield
        self._fault.unlink()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> int:
        self.process.communicate()
        return self.process.returncode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def victim(root: Path) -> Iterator[Victim]:
    victim = Victim(root)
    yield victim
    victim.kill()


@pytest.fixture
def shimmed(root: Path, library: Path) -> Iterator[Victim]:
    victim = Victim(root, library)
    yield victim
    victim.kill()


def states(root: Path, batch: str = "b") -> list[SlotState]:
    with DiskJournal.open(root) as journal:
        record = journal.load(BatchKey("run", batch)).result(30)
        assert record is not None
        assert examined(journal).sound
        return [slot.state for slot in record.slots]


FAULTS = [
    (errno.EROFS, "JournalReadOnly", "read_only=True"),
    (errno.EDQUOT, "JournalFull", "Make room"),
    (errno.ENOSPC, "JournalFull", "Make room"),
    (errno.EIO, "JournalIOError", "durable is unknown"),
]


@pytest.mark.parametrize(("number", "name", "remedy"), FAULTS, ids=lambda value: str(value))
def test_a_disk_that_begins_to_fail_is_told_by_its_cause_and_the_journal_goes_on_when_it_works_again(
    shimmed: Victim, root: Path, number: int, name: str, remedy: str
) -> None:
    assert shimmed.tell("reserve b") == "ok reserved"
    assert shimmed.tell("start 0") == "ok running"
    with shimmed.failing(number):
        for command in ("start 1", "finish 0 10", "finish 0 600000"):
            answer = shimmed.tell(command)
            assert answer.startswith(f"{name}: "), answer
            assert remedy in answer
            assert str(root) in answer
        loaded = shimmed.tell("load")
        assert loaded == "ok running,reserved,reserved,reserved,reserved" or name == "JournalIOError", loaded
    assert shimmed.tell("finish 0 10") == "ok succeeded"
    assert shimmed.tell("start 1") == "ok running"
    shimmed.kill()
    assert states(root)[:2] == [SlotState.SUCCEEDED, SlotState.RUNNING]


@pytest.mark.parametrize(("number", "name", "remedy"), FAULTS, ids=lambda value: str(value))
def test_a_disk_that_fails_at_opening_and_at_closing_is_told_and_nothing_is_lost(
    shimmed: Victim, root: Path, number: int, name: str, remedy: str
) -> None:
    shimmed.tell("reserve b")
    shimmed.tell("start 0")
    shimmed.tell("finish 0 10")
    with shimmed.failing(number):
        assert shimmed.tell("close") == "ok closed"
        answer = shimmed.tell("open")
        assert answer.startswith(("ok open", f"{name}: ")), answer
    shimmed.kill()
    assert states(root)[0] is SlotState.SUCCEEDED


def test_a_log_deleted_under_a_running_process_is_told_and_costs_no_record(
    victim: Victim, root: Path
) -> None:
    victim.tell("reserve b")
    victim.tell("start 0")
    victim.tell("finish 0 10")
    database(root).with_name("cache.db-wal").unlink()
    answer = victim.tell("start 1")
    assert answer.startswith("JournalReplaced: "), answer
    assert "restart this process" in answer
    assert "has been brought into the database" in answer
    assert victim.tell("load").startswith("JournalReplaced: ")
    victim.kill()
    assert states(root)[0] is SlotState.SUCCEEDED


def test_a_log_that_is_missing_after_a_death_is_named(
    victim: Victim, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    victim.tell("reserve b")
    victim.kill()
    database(root).with_name("cache.db-wal").unlink()
    DiskJournal.open(root, read_only=True).close()
    assert diagnose(root).of(FindingKind.LOG_MISSING), "readers leave an empty one"
    database(root).with_name("cache.db-wal").unlink(missing_ok=True)
    DiskJournal.open(root).close()
    assert any("is missing although a process died" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("size", [0, 8192])
def test_a_database_cut_under_a_running_process_is_noticed_at_the_next_use(
    victim: Victim, root: Path, size: int
) -> None:
    victim.tell("reserve b")
    victim.tell("start 0")
    victim.tell("finish 0 600000")
    victim.tell("close")
    victim.tell("open")
    assert victim.tell("reserve c") == "ok reserved"
    os.truncate(database(root), size)
    for command in ("reserve d", "load"):
        answer = victim.tell(command)
        assert answer.startswith("JournalReplaced: "), answer
        assert "--salvage" in answer
    victim.kill()
    assert not diagnose(root).sound


def test_a_whole_journal_moved_away_under_a_running_process_is_told_and_can_be_moved_back(
    victim: Victim, root: Path
) -> None:
    victim.tell("reserve b")
    victim.tell("start 0")
    root.rename(root.with_name("elsewhere"))
    answer = victim.tell("start 1")
    assert answer.startswith("JournalReplaced: "), answer
    victim.kill()
    root.with_name("elsewhere").rename(root)
    assert states(root)[0] is SlotState.RUNNING


def test_a_process_that_gave_space_back_does_not_look_like_one_that_cut_the_file(
    victim: Victim, root: Path
) -> None:
    from support.batches import reserve
    from toolslot.journal import Purge

    victim.tell("reserve b")
    with DiskJournal.open(root) as journal:
        worker = reserve(journal, 3, run="large")
        for index in range(3):
            worker.run(index, "x" * 2_000_000)
    victim.tell("close")
    victim.tell("open")
    before = database(root).stat().st_size
    with DiskJournal.open(root) as journal:
        journal.submit(Purge(run_id="large", at=0.0, why="enough")).result(60)
    assert database(root).stat().st_size < before
    assert victim.tell("reserve c") == "ok reserved"
    assert victim.tell("start 0") == "ok running"


def test_without_a_file_left_to_open_an_open_journal_goes_on_and_opening_says_why(
    victim: Victim, root: Path
) -> None:
    victim.tell("reserve b")
    assert victim.tell("exhaust") == "ok Too many open files"
    assert victim.tell("start 0") == "ok running"
    assert victim.tell("finish 0 600000") == "ok succeeded"
    assert victim.tell("close") == "ok closed"
    assert victim.tell("open") == "ok open"
    assert victim.tell("close") == "ok closed"
    assert victim.tell("exhaust") == "ok Too many open files"
    answer = victim.tell("open")
    assert answer.startswith("JournalUnavailable: "), answer
    assert "open more files" in answer
    victim.tell("relax")
    assert victim.tell("open") == "ok open"
    assert states(root)[0] is SlotState.SUCCEEDED


HOLD_LOCK = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
HOLD_SQLITE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("script", "file"), [(HOLD_LOCK, "commit.lock"), (HOLD_SQLITE, "db/cache.db")], ids=["ours", "SQLite's"]
)
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_a_lock_that_somebody_keeps_is_told_with_its_remedy_and_then_work_goes_on(
    victim: Victim, root: Path, script: str, file: str, stopped: bool
) -> None:
    victim.tell("reserve b")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(root / file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        if stopped:
            holder.send_signal(signal.SIGSTOP)
        answer = victim.tell("start 0")
        assert answer.startswith("JournalBusy: "), answer
        assert "try again" in answer.lower()
        assert victim.tell("load").startswith("ok reserved"), "reading waits for nobody"
        holder.send_signal(signal.SIGCONT)
        holder.communicate()
    assert victim.tell("start 0") == "ok running"


def test_a_stopped_process_keeps_nobody_out_and_goes_on_when_it_wakes(victim: Victim, root: Path) -> None:
    victim.tell("reserve b")
    victim.process.send_signal(signal.SIGSTOP)
    other = Victim(root)
    assert other.tell("reserve c") == "ok reserved"
    assert other.tell("start 0") == "ok running"
    other.kill()
    victim.process.send_signal(signal.SIGCONT)
    assert victim.tell("start 0") == "ok running"


def test_a_copy_of_a_journal_is_a_journal_and_one_put_over_another_is_noticed(
    victim: Victim, root: Path, tmp_path: Path
) -> None:
    victim.tell("reserve b")
    victim.tell("close")
    shutil.copytree(root, tmp_path / "copy")
    assert states(tmp_path / "copy") == [SlotState.RESERVED] * 5
    DiskJournal.open(tmp_path / "other").close()
    shutil.copy(tmp_path / "other" / "db" / "cache.db", database(root))
    report = diagnose(root)
    assert report.of(FindingKind.REPLACED)
    assert victim.tell("open").startswith("JournalReplaced: ")
