"""One journal for a process and a directory, from its first use to the end of the process."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from support.batches import reserve
from toolslot._errors import InvalidSetting, JournalClosed, JournalReadOnly, JournalUnavailable
from toolslot.journal import DiskJournal, Journal, open_journal


def test_it_is_a_journal(journal: DiskJournal) -> None:
    as_port: Journal = journal
    assert as_port.location == journal.location


def test_opening_twice_gives_the_same_journal_until_both_have_closed_it(root: Path) -> None:
    one = DiskJournal.open(root)
    two = DiskJournal.open(str(root) + "/")
    assert one is two
    one.close()
    worker = reserve(two)
    two.close()
    with pytest.raises(JournalClosed):
        worker.start(0)


def test_closing_too_often_is_harmless(root: Path) -> None:
    one = DiskJournal.open(root)
    one.close()
    one.close()
    with DiskJournal.open(root) as two:
        one.close()
        reserve(two)


def test_reopening_gives_a_new_journal_over_the_same_records(root: Path) -> None:
    with DiskJournal.open(root) as one:
        worker = reserve(one)
    with DiskJournal.open(root) as two:
        assert two is not one
        assert worker.through(two).record()


def test_many_threads_that_open_and_close_at_once_get_along(root: Path) -> None:
    def use(number: int) -> bool:
        with DiskJournal.open(root) as journal:
            return reserve(journal, 1, batch=f"batch {number}").start(0).attempt == 1

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(40)))
    with DiskJournal.open(root) as journal:
        assert len(journal.keys().result(10)) == 40


def test_another_durability_for_an_open_journal_is_refused(journal: DiskJournal, root: Path) -> None:
    with pytest.raises(InvalidSetting, match="durability='power'"):
        DiskJournal.open(root, durability="process")
    reserve(journal)


def test_a_failed_opening_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(JournalUnavailable):
            DiskJournal.open(tmp_path / "file" / "journal")
    assert threading.active_count() == before
    (tmp_path / "file").unlink()
    with DiskJournal.open(tmp_path / "file" / "journal") as journal:
        reserve(journal)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_write_permission_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(JournalReadOnly):
        DiskJournal.open(tmp_path / "journal")


def test_only_the_making_of_a_journal_is_logged_with_its_full_path(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "toolslot")
    DiskJournal.open(root).close()
    assert [record.getMessage() for record in caplog.records] == [f"created the journal {root}"]
    caplog.clear()
    DiskJournal.open(root).close()
    assert not caplog.records


def test_the_default_journal_is_where_toolslot_home_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "home"))
    with closing(open_journal()) as journal:
        assert journal.location == str(tmp_path / "home")
    with closing(open_journal(tmp_path / "elsewhere")) as journal:
        assert journal.location == str(tmp_path / "elsewhere")


def test_without_toolslot_home_the_journal_is_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOOLSLOT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    with closing(open_journal()) as journal:
        assert journal.location == str(tmp_path / ".toolslot")


def test_a_relative_path_stays_the_same_journal_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with DiskJournal.open("journal") as journal:
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        reserve(journal)
        with DiskJournal.open(tmp_path / "journal") as same:
            assert same is journal


def test_a_journal_that_is_never_closed_is_no_leak(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        journal = DiskJournal.open(root)
        name = repr(journal)
        del journal
        gc.collect()
    with DiskJournal.open(root) as again:
        assert repr(again) == name
    again.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_stays_open_after_closing(root: Path) -> None:
    DiskJournal.open(root).close()
    before = open_files()
    for _ in range(3):
        with DiskJournal.open(root) as journal:
            reserve(journal, batch=f"batch {_}")
    assert open_files() == before
    assert {path.name for path in (root / "db").iterdir()} == {"cache.db"}
    assert list((root / "owners").iterdir()) == []


def test_the_number_of_open_files_does_not_grow_with_threads(journal: DiskJournal) -> None:
    worker = reserve(journal, 64)
    before = open_files()
    with ThreadPoolExecutor(64) as threads:
        list(threads.map(worker.run, range(64)))
    assert open_files() == before


def test_the_repr_tells_what_is_going_on(journal: DiskJournal, root: Path) -> None:
    worker = reserve(journal)
    journal.enlist(worker.owner)
    assert repr(journal) == f"<DiskJournal '{root}' durability=power waiting=0 owners=1 commits=1>"
    journal.close()
    assert repr(journal) == f"<DiskJournal '{root}' closed>"


def run_script(script: str, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


PRELUDE = """
import sys, threading, time
sys.path[:0] = {path!r}
from toolslot.journal import Append, DiskJournal
from support.batches import reserve
journal = DiskJournal.open(sys.argv[1])
"""


def script(body: str) -> str:
    return PRELUDE.format(path=sys.path) + body


def test_what_is_queued_when_the_process_ends_is_written(root: Path) -> None:
    run_script(
        script("""
worker = reserve(journal, 200)
for index in range(200):
    journal.submit(Append(key=worker.key, row=worker.started(index)))
"""),
        str(root),
    )
    with DiskJournal.open(root) as journal:
        (key,) = journal.keys().result(10)
        record = journal.load(key).result(10)
        assert record is not None
        assert {slot.state.value for slot in record.slots} == {"running"}


def test_a_thread_that_outlives_the_main_thread_can_still_record(root: Path) -> None:
    run_script(
        script("""
worker = reserve(journal, 1)
def late():
    threading.main_thread().join()
    worker.run(0, "late")
threading.Thread(target=late).start()
"""),
        str(root),
    )
    with DiskJournal.open(root) as journal:
        (key,) = journal.keys().result(10)
        record = journal.load(key).result(10)
        assert record is not None
        assert record.settled


def test_a_journal_used_after_the_end_of_the_process_began_says_it_is_closed(root: Path) -> None:
    out = run_script(
        script("""
import atexit
from toolslot._errors import JournalClosed
worker = reserve(journal, 1)
class Late:
    def __del__(self):
        try:
            worker.start(0)
        except JournalClosed:
            print("closed")
journal.late = Late()
"""),
        str(root),
    )
    assert out == "closed\n"


def test_an_interrupt_while_waiting_leaves_the_record_and_the_journal_alone(root: Path) -> None:
    out = run_script(
        script("""
import signal, _thread
from toolslot._domain._slot import SlotState
worker = reserve(journal, 100)
futures = []
try:
    for index in range(100):
        futures.append(journal.submit(Append(key=worker.key, row=worker.started(index))))
        if index == 50:
            signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    pass
for future in futures:
    assert future.result(10).state is SlotState.RUNNING
print(len(futures), worker.start(99).state.value)
"""),
        str(root),
    )
    assert out == "51 running\n"
