"""Whether an owner lives is told by locks, never by clocks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest

from support.apart import open_apart
from support.batches import owner_of, reserve
from toolslot._domain._identity import Owner
from toolslot._errors import JournalUnavailable
from toolslot.journal import DiskJournal, OwnerState
from toolslot.journal._disk import _back_end, _filesystem, _owner_lock
from toolslot.journal._disk._owner_lock import OwnerLock, is_dead
from toolslot.testing._worker import PATIENCE, state_of

OTHER = """
import sys
sys.path[:0] = {path!r}
from toolslot.journal import DiskJournal
from support.batches import reserve
journal = DiskJournal.open(sys.argv[1])
worker = reserve(journal, batch="the other's")
journal.enlist(worker.owner)
print("ready", flush=True)
sys.stdin.read()
journal.close()
"""


class Other:
    """Another process that owns a batch."""

    def __init__(self, root: Path, code: str = OTHER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code.format(path=sys.path), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def owner(self, journal: DiskJournal) -> Owner:
        (key,) = journal.keys().result(PATIENCE)
        record = journal.load(key).result(PATIENCE)
        assert record is not None
        return record.fence.owner

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.communicate(timeout=30)


@pytest.fixture
def other(root: Path) -> Iterator[Other]:
    started = Other(root)
    yield started
    started.end()


def test_an_owner_in_another_process_is_alive_until_it_ends(journal: DiskJournal, other: Other) -> None:
    owner = other.owner(journal)
    assert state_of(journal, owner) is OwnerState.ALIVE
    other.end()
    assert state_of(journal, owner) is OwnerState.DEAD


def test_a_killed_owner_is_dead_at_once(journal: DiskJournal, other: Other) -> None:
    owner = other.owner(journal)
    other.process.kill()
    other.process.wait()
    assert state_of(journal, owner) is OwnerState.DEAD


def test_a_stopped_owner_is_alive(journal: DiskJournal, other: Other) -> None:
    owner = other.owner(journal)
    other.process.send_signal(signal.SIGSTOP)
    assert state_of(journal, owner) is OwnerState.ALIVE


def test_asking_often_disturbs_no_lock(journal: DiskJournal, other: Other, root: Path) -> None:
    owner = other.owner(journal)
    mine = reserve(journal).owner
    journal.enlist(mine)
    apart = open_apart(root)
    try:
        for _ in range(50):
            assert state_of(journal, owner) is OwnerState.ALIVE
            assert state_of(apart, mine) is OwnerState.ALIVE
            assert state_of(apart, owner) is OwnerState.ALIVE
    finally:
        apart.close()


def test_lock_files_of_dead_processes_are_swept_away_by_the_next_opener(root: Path) -> None:
    other = Other(root)
    other.process.kill()
    other.process.communicate()
    (left,) = (root / "owners").iterdir()
    with DiskJournal.open(root) as journal:
        assert not left.exists()
        assert state_of(journal, other.owner(journal)) is OwnerState.DEAD


def test_lock_files_of_living_processes_are_not_swept_away(root: Path, other: Other) -> None:
    before = set((root / "owners").iterdir())
    with DiskJournal.open(root):
        assert before < set((root / "owners").iterdir())
    assert before == set((root / "owners").iterdir())


def test_an_owner_of_an_earlier_opening_in_this_process_is_alive_until_it_retires(root: Path) -> None:
    """A call's thread may outlive the journal: what it does is done all the same."""
    with DiskJournal.open(root) as first:
        owner = owner_of(first)
        first.enlist(owner)
    with DiskJournal.open(root) as journal:
        assert state_of(journal, owner) is OwnerState.ALIVE
    with DiskJournal.open(root) as journal:
        assert state_of(journal, owner) is OwnerState.ALIVE
        first.retire(owner)
        assert state_of(journal, owner) is OwnerState.DEAD


CLOSING = """
import sys
sys.path[:0] = {path!r}
from toolslot.journal import DiskJournal
from support.batches import reserve
journal = DiskJournal.open(sys.argv[1])
worker = reserve(journal, batch="the other's")
journal.enlist(worker.owner)
journal.close()
print("ready", flush=True)
sys.stdin.readline()
journal.retire(worker.owner)
print("retired", flush=True)
sys.stdin.read()
"""


def test_other_processes_see_an_owner_that_is_at_work_after_its_journal_was_closed(
    journal: DiskJournal, root: Path
) -> None:
    other = Other(root, CLOSING)
    try:
        owner = other.owner(journal)
        assert state_of(journal, owner) is OwnerState.ALIVE
        with open_apart(root):
            assert state_of(journal, owner) is OwnerState.ALIVE, "nobody has swept its lock away"
        assert other.process.stdin is not None
        assert other.process.stdout is not None
        other.process.stdin.write(b"\n")
        other.process.stdin.flush()
        assert other.process.stdout.readline() == b"retired\n"
        assert state_of(journal, owner) is OwnerState.DEAD
    finally:
        other.end()


def elsewhere(owner: Owner, host: str = "elsewhere") -> Owner:
    return replace(owner, process=replace(owner.process, host=host, token="0123456789abcdef"))


def test_an_owner_of_another_host_cannot_be_told_where_that_host_may_have_locks_of_its_own(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_back_end, "locks_are_shared", lambda _: False)
    assert state_of(journal, elsewhere(owner_of(journal))) is OwnerState.UNKNOWN


def test_an_owner_in_another_container_is_told_by_its_lock_where_only_one_kernel_can_have_the_disk(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_filesystem, "type_of", lambda *_: "ext4")
    assert state_of(journal, elsewhere(owner_of(journal))) is OwnerState.DEAD


@pytest.mark.parametrize("token", ["../../etc/passwd", "", "a/b", "a\0b", "x" * 1000])
def test_a_token_that_is_no_file_name_touches_no_file(journal: DiskJournal, token: str) -> None:
    owner = owner_of(journal)
    strange = replace(owner, process=replace(owner.process, token=token))
    assert state_of(journal, strange) is OwnerState.UNKNOWN


PROBE = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("held")
"""


def test_a_lock_made_while_its_file_is_probed_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when one thread asks about an earlier opening while another opens the journal again."""
    path, really_open = str(tmp_path / "me.lock"), os.open
    with ThreadPoolExecutor() as pool:
        making: list[Future[OwnerLock]] = []

        def open_late(name: str, flags: int, mode: int = 0o777) -> int:
            if name == path and not flags & os.O_CREAT and not making:
                making.append(pool.submit(OwnerLock, tmp_path, "me"))
                wait(making, timeout=0.5)
            return really_open(name, flags, mode)

        monkeypatch.setattr(os, "open", open_late)
        is_dead(tmp_path, "me")
        made = making[0].result(PATIENCE)
    done = subprocess.run([sys.executable, "-c", PROBE, path], capture_output=True, text=True, check=True)
    assert done.stdout == "held\n"
    made.release()


def test_an_opening_that_could_not_lock_is_in_nobodys_way(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    with monkeypatch.context() as patch:
        patch.setattr(_owner_lock, "lock", no_locks)
        with pytest.raises(JournalUnavailable, match="no locks available"):
            DiskJournal.open(root)
    DiskJournal.open(root).close()
