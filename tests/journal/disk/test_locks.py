"""The commit lock, between processes and within one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.apart import open_apart
from support.batches import reserve
from support.examining import examined
from toolslot._domain._slot import SlotState
from toolslot._errors import JournalBusy, JournalError
from toolslot.journal import DiskJournal
from toolslot.journal._disk import _commit_lock, _locked_store
from toolslot.journal._disk._commit_lock import CommitLock

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


class Holder:
    """Another process that holds the lock until `release`."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"held\n"

    def release(self) -> None:
        self.process.communicate()


@contextmanager
def held(path: Path) -> Iterator[Holder]:
    holder = Holder(path)
    try:
        yield holder
    finally:
        holder.release()


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[CommitLock]:
    opened = CommitLock.shared(str(tmp_path / "lock"), str(tmp_path / "holder"))
    yield opened
    opened.drop()


def test_a_process_has_one_lock_object_for_a_file(tmp_path: Path, lock: CommitLock) -> None:
    again = CommitLock.shared(str(tmp_path / "lock"), str(tmp_path / "holder"))
    assert again is lock
    again.drop()
    lock.acquire(1)
    lock.release()


def test_threads_of_one_process_exclude_each_other(lock: CommitLock) -> None:
    inside: list[int] = []
    worst: list[int] = []

    def work(_: int) -> None:
        for _ in range(100):
            lock.acquire(30)
            inside.append(1)
            worst.append(len(inside))
            inside.pop()
            lock.release()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert max(worst) == 1


def test_a_lock_held_elsewhere_is_waited_for(tmp_path: Path, lock: CommitLock) -> None:
    with held(tmp_path / "lock") as holder, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(lock.acquire, 30)
        assert not waiting.done()
        holder.release()
        waiting.result(30)
    lock.release()


def test_the_deadline_holds_and_names_the_last_holder(tmp_path: Path, lock: CommitLock) -> None:
    lock.acquire(1)  # leaves a note of who held it
    lock.release()
    with held(tmp_path / "lock"):
        began = time.monotonic()
        with pytest.raises(JournalBusy, match=f"process {os.getpid()} on "):
            lock.acquire(0.2)
        assert 0.1 < time.monotonic() - began < 5


def test_whoever_gave_up_does_not_keep_the_lock_it_gets_too_late(tmp_path: Path, lock: CommitLock) -> None:
    with held(tmp_path / "lock"), pytest.raises(JournalBusy):
        lock.acquire(0.05)
    with held(tmp_path / "lock"):  # the holder gets it: nobody else has kept it
        pass
    lock.acquire(30)
    lock.release()


def test_a_second_waiter_gets_the_lock_that_the_first_gave_up(tmp_path: Path, lock: CommitLock) -> None:
    with held(tmp_path / "lock") as holder:
        for _ in range(3):
            with pytest.raises(JournalBusy):
                lock.acquire(0.02)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(lock.acquire, 30)
            holder.release()
            waiting.result(30)
    with pytest.raises(AssertionError), held_elsewhere(tmp_path / "lock"):
        pass
    lock.release()


@contextmanager
def held_elsewhere(path: Path) -> Iterator[None]:
    """Fails when another process cannot have the lock at once."""
    script = (
        "import fcntl,os,sys; fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    free = subprocess.run([sys.executable, "-c", script, str(path)], stderr=subprocess.DEVNULL, check=False)
    assert free.returncode == 0
    yield


PROBE = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("held")
else:
    print("free")
"""


def as_others_see_it(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class LateHelper:
    """Holds up the helper thread where it gives back a lock that came too late."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._unlock = _commit_lock.unlock
        self.about_to_unlock, self.go_on, self.unlocked = (threading.Event() for _ in range(3))
        monkeypatch.setattr(_commit_lock, "unlock", self._slowly)

    def _slowly(self, descriptor: int) -> None:
        late = threading.current_thread().name == "toolslot-lock"
        if late:
            self.about_to_unlock.set()
            assert self.go_on.wait(30)
        self._unlock(descriptor)
        if late:
            self.unlocked.set()


def test_what_comes_too_late_is_not_given_back_from_under_the_next_holder(
    tmp_path: Path, lock: CommitLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = LateHelper(monkeypatch)
    with held(tmp_path / "lock"), pytest.raises(JournalBusy):
        lock.acquire(0.05)
    assert helper.about_to_unlock.wait(30)
    with ThreadPoolExecutor() as pool:
        next_holder = pool.submit(lock.acquire, 30)
        wait([next_holder], timeout=0.5)  # it must not get the lock yet; with the defect it did
        helper.go_on.set()
        assert helper.unlocked.wait(30)
        next_holder.result(30)
    assert as_others_see_it(tmp_path / "lock") == "held"
    lock.release()


def test_a_journal_opened_again_shares_the_wait_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = LateHelper(monkeypatch)
    helper.go_on.set()
    paths = str(tmp_path / "lock"), str(tmp_path / "holder")
    first = CommitLock.shared(*paths)
    with ThreadPoolExecutor() as pool:
        with held(tmp_path / "lock"):
            with pytest.raises(JournalBusy):
                first.acquire(0.05)
            first.drop()
            again = CommitLock.shared(*paths)
            waiting = pool.submit(again.acquire, 30)
        waiting.result(30)
    # A helper of its own would let the kernel give the lock to both, and the forgotten one would give it back.
    helper.unlocked.wait(0.3)
    assert as_others_see_it(tmp_path / "lock") == "held"
    again.release()
    again.drop()


def test_not_waiting_at_all_is_possible(tmp_path: Path, lock: CommitLock) -> None:
    with held(tmp_path / "lock"), pytest.raises(JournalBusy):
        lock.acquire(0)
    lock.acquire(0)
    lock.release()


def test_operations_fail_at_the_deadline_and_reading_goes_on(root: Path) -> None:
    with DiskJournal.open(root, lock_timeout=0.2) as journal:
        worker = reserve(journal)
        with held(root / "commit.lock"):
            worker.refused(JournalBusy, worker.started(0))
            assert worker.slot(0).state is SlotState.RESERVED
        assert worker.start(0).state is SlotState.RUNNING


def test_opening_fails_at_the_deadline(root: Path) -> None:
    DiskJournal.open(root).close()
    with held(root / "commit.lock"), pytest.raises(JournalBusy):
        DiskJournal.open(root, lock_timeout=0.1)
    DiskJournal.open(root).close()


def test_a_program_that_holds_sqlites_own_lock_is_told_from_ours(root: Path) -> None:
    import sqlite3
    from contextlib import closing

    with DiskJournal.open(root, lock_timeout=0.2) as journal:
        worker = reserve(journal)
        with closing(sqlite3.connect(root / "db" / "cache.db", isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalBusy, match=r"SQLite's (own )?lock"):
                worker.start(0)
            foreign.execute("ROLLBACK")
        assert worker.start(0).state is SlotState.RUNNING


def test_two_journals_of_one_process_take_turns(root: Path) -> None:
    one, two = open_apart(root), open_apart(root)
    try:
        workers = [reserve(journal, 50, batch=f"batch {n}") for n, journal in enumerate((one, two))]
        threads = [threading.Thread(target=lambda w=w: [w.run(i) for i in range(50)]) for w in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for worker in workers:
            assert worker.record().settled
            assert worker.through(one).record() == worker.through(two).record()
        assert examined(one).sound
    finally:
        one.close()
        two.close()


def test_a_lock_file_that_somebody_exchanged_is_noticed_within_a_second(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _locked_store._LOOK_EVERY <= 1
    monkeypatch.setattr(_locked_store, "_LOOK_EVERY", 0.0)
    with DiskJournal.open(root) as journal:
        worker = reserve(journal)
        (root / "commit.lock").unlink()
        (root / "commit.lock").touch(0o600)
        with pytest.raises(JournalError, match="exchanged"):
            worker.start(0)
