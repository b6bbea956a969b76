"""The lock around every commit, checkpoint and opening, between processes and within one.

A POSIX lock (lockf), because the kernel frees it the moment its process dies, and not a moment later because a forked
child still holds the descriptor. Its price: closing any descriptor of the file in this process drops it. So each process
opens the file once and never closes it while a journal is open.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from queue import SimpleQueue

from toolslot._errors import JournalBusy, JournalIOError
from toolslot.journal._disk._file_lock import NOFOLLOW, lock, try_lock, unlock

_FLAGS = os.O_CREAT | os.O_RDWR | NOFOLLOW
_NOTE_SIZE = 256
_ID_SIZE = 64


class CommitLock:
    """The lock file of one journal. Get it from `shared`; it is held by one thread at a time."""

    def __init__(self, path: str, note: str) -> None:
        self._path = path
        self._descriptor = os.open(path, _FLAGS, 0o600)
        try:
            self._note = os.open(note, _FLAGS, 0o600)
        except OSError:
            os.close(self._descriptor)
            raise
        self._inner = threading.Lock()
        self._helper: _Helper | None = None
        self._users = 0
        self._who = f'"pid":{os.getpid()},"host":{json.dumps(socket.gethostname())}'

    def acquire(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the lock.

        Raises:
            JournalBusy: another process held it all that time.
        """
        deadline = time.monotonic() + timeout
        if not self._inner.acquire(timeout=timeout):
            raise JournalBusy(self._busy(timeout))
        try:
            if not (self._at_once() or self._in_time(deadline)):
                raise JournalBusy(self._busy(timeout))
        except BaseException:
            self._inner.release()
            raise
        with suppress(OSError):  # a full disk must not keep the lock from being used, and given back
            os.pwrite(self._note, f'{{"since":{time.time():.3f},{self._who}}}'.ljust(_NOTE_SIZE).encode(), 0)

    def release(self) -> None:
        unlock(self._descriptor)
        self._inner.release()

    def _at_once(self) -> bool:
        if self._helper is not None and not self._helper.idle():
            return False
        try:
            return try_lock(self._descriptor)
        except OSError as error:
            raise JournalIOError(f"{self._path} cannot be locked: {error}. Nothing was written.") from error

    def _in_time(self, deadline: float) -> bool:
        if deadline - time.monotonic() <= 0:
            return False
        # Waiting in the kernel is fair and prompt, but has no deadline: a thread of its own waits there.
        if self._helper is None:
            self._helper = _Helper(self._descriptor)
        return self._helper.wait(deadline - time.monotonic())

    def _busy(self, timeout: float) -> str:
        try:
            holder = json.loads(os.pread(self._note, _NOTE_SIZE, 0))
            held = f"process {holder['pid']} on {holder['host']} since {time.time() - holder['since']:.0f} s"
        except (OSError, ValueError, KeyError, TypeError):
            held = "another process"
        return (
            f"the journal's lock {self._path} was not free within {timeout:g} s; it is held by {held}. Nothing was written."
            " Try again; if that process is stopped, continue or end it."
        )

    def in_place(self) -> bool:
        """Whether the file at the path still is the one that this object locks."""
        try:
            here = os.stat(self._path)
        except FileNotFoundError:
            return False
        return os.path.samestat(here, os.fstat(self._descriptor))

    def read_id(self) -> str:
        """The journal id in the lock file, "" before the journal is complete."""
        return os.pread(self._descriptor, _ID_SIZE, 0).decode("ascii", "replace").strip()

    def write_id(self, journal_id: str) -> None:
        os.pwrite(self._descriptor, f"{journal_id}\n".encode("ascii"), 0)
        os.fsync(self._descriptor)

    @classmethod
    def shared(cls, path: str, note: str) -> CommitLock:
        """This process's one lock object for the file; give it back with `drop`."""
        with _process.lock:
            shared = _process.table.get(path)
            if shared is None or not (shared._users or shared.in_place()):
                shared = _process.table[path] = cls(path, note)
            shared._users += 1
            return shared

    def drop(self) -> None:
        """Let go of the file when nobody in this process uses it any more."""
        with _process.lock:
            self._users -= 1
            if self._users:
                return
            if self._helper is not None and not self._helper.end():
                # Its thread still waits in the kernel, and will give back what it gets. For the kernel that is the whole process's
                # lock, so the next one in this process must use this object.
                return
            if _process.table.get(self._path) is self:
                del _process.table[self._path]
            os.close(self._descriptor)
            os.close(self._note)


class _Process:
    """The lock objects of this process, by path."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.table: dict[str, CommitLock] = {}
        self.inherited: list[dict[str, CommitLock]] = []


_process = _Process()


def noted_id(path: str) -> str:
    """The journal id in the lock file at `path`, "" when there is none. Harms no lock that this process has on it.

    Raises:
        OSError: the file cannot be read.
    """
    with _process.lock:
        shared = _process.table.get(path)
        if shared is not None:
            return shared.read_id()
        try:
            descriptor = os.open(path, os.O_RDONLY | NOFOLLOW)
        except FileNotFoundError:
            return ""
        try:
            return os.pread(descriptor, _ID_SIZE, 0).decode("ascii", "replace").strip()
        finally:
            os.close(descriptor)


def forget_after_fork() -> None:
    """In a forked child: the locks are the parent's. Their descriptors stay open, since closing one later would drop
    a lock that the child has taken on the same file by then.
    """
    _process.inherited.append(_process.table)
    _process.table = {}
    _process.lock = threading.Lock()


class _Helper:
    """A thread that waits for the lock in the kernel, for one waiter at a time that has a deadline."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._requests: SimpleQueue[bool] = SimpleQueue()
        self._state = threading.Condition()
        self._granted = False
        self._wanted = False
        #: a request is in the kernel, wanted or not
        self.waiting = False
        threading.Thread(target=self._run, name="toolslot-lock", daemon=True).start()

    def idle(self) -> bool:
        """Whether no request is in the kernel, and none that came back too late is just being given back: that would take the lock
        from the one that locked meanwhile.
        """
        with self._state:
            return not self.waiting

    def wait(self, timeout: float) -> bool:
        """Whether the lock was granted within `timeout` seconds; then it is the caller's."""
        with self._state:
            self._wanted = True
            if not self.waiting:
                self.waiting = True
                self._requests.put(True)
            self._state.wait_for(lambda: self._granted or not self.waiting, max(timeout, 0))
            granted, self._granted, self._wanted = self._granted, False, False
            return granted

    def end(self) -> bool:
        """Let the thread end; False when it waits in the kernel, where nothing reaches it."""
        with self._state:
            if not self.waiting:
                self._requests.put(False)
            return not self.waiting

    def _run(self) -> None:
        while self._requests.get():
            try:
                lock(self._descriptor)
                locked = True
            except OSError:
                locked = False
            with self._state:
                self.waiting = False
                if locked and self._wanted:
                    self._granted = True
                elif locked:
                    # The waiter gave up. Nobody else can have locked meanwhile: they would have waited here, too.
                    unlock(self._descriptor)
                self._state.notify_all()
