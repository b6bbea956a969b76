"""Telling whether the process behind an owner still lives, without clocks: each holds a lock on a file of its own, which
the kernel frees when it dies, and not when it is merely stopped.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolslot._domain._identity import Owner
from toolslot._errors import JournalUnavailable
from toolslot.journal._disk._file_lock import NOFOLLOW, lock, try_lock

_SAFE_TOKEN = re.compile(r"[A-Za-z0-9_\-]{1,100}").fullmatch


class _Process:
    """The owner locks this process holds, by path, and who is at work under each."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: set[str] = set()
        self.at_work: dict[str, set[Owner]] = {}
        #: locks whose journal was closed while somebody was still at work: a thread of a call that timed out, say
        self.kept: dict[str, int] = {}


_process = _Process()


class OwnerLock:
    """This process's lock file in one journal. Must be made, and is only removed, under the commit lock."""

    def __init__(self, owners: Path, token: str) -> None:
        self._path = _path(owners, token)
        with _process.lock:
            kept = _process.kept.pop(self._path, None)
        if kept is not None:
            self._descriptor = kept
            return
        try:
            with _process.lock:  # from here on nobody in this process probes it
                self._descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR | NOFOLLOW, 0o600)
                _process.held.add(self._path)
            self._lock()
        except OSError as error:
            raise JournalUnavailable(
                f"{self._path} cannot be made and locked ({error}), so other processes could not tell that this one lives."
            ) from error

    def _lock(self) -> None:
        try:
            lock(self._descriptor)
        except BaseException:
            self._drop()  # or no later opening in this process could make it
            raise

    def assert_held(self) -> None:
        """Lock again. Costs nothing while it is held, and heals a lock dropped by somebody's open and close of the file."""
        try_lock(self._descriptor)

    def release(self) -> None:
        """Let go of it; once the last of those who are still at work has retired, or else the process has ended."""
        with _process.lock:
            if _process.at_work.get(self._path):
                _process.kept[self._path] = self._descriptor
                return
        self._drop()

    def _drop(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._path)
        with _process.lock:
            _process.held.discard(self._path)
        os.close(self._descriptor)


def enlist(owners: Path, owner: Owner) -> None:
    """It is at work from now on, whatever becomes of the journal."""
    with _process.lock:
        _process.at_work.setdefault(_path(owners, owner.process.token), set()).add(owner)


def retire(owners: Path, owner: Owner) -> None:
    """It is at work no longer. The file of a lock that was kept for it is swept away by the next opener."""
    path = _path(owners, owner.process.token)
    with _process.lock:
        at_work = _process.at_work.get(path, set())
        at_work.discard(owner)
        kept = None if at_work else _process.kept.pop(path, None)
        if not at_work:
            _process.at_work.pop(path, None)
        if kept is not None:
            _process.held.discard(path)
            os.close(kept)


def at_work(owners: Path, token: str) -> frozenset[Owner]:
    """Who is at work in this process under that token."""
    with _process.lock:
        return frozenset(_process.at_work.get(_path(owners, token), ()))


def _path(owners: Path, token: str) -> str:
    return str(owners / f"{token}.lock")


def is_dead(owners: Path, token: str) -> bool | None:
    """Whether the process with this token has ended; None when that cannot be told (its own lock, a strange token)."""
    if not _SAFE_TOKEN(token):
        return None
    return _is_free(_path(owners, token))


def _is_free(path: str) -> bool | None:
    with _process.lock:
        # Probing a lock of one's own process would find it free, and drop it.
        return None if path in _process.held else _probe(path)


def _probe(path: str) -> bool | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return True  # released in order, or swept away after its process had died
    except OSError:
        return None
    try:
        return try_lock(descriptor, shared=True)
    except OSError:
        return None
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Owners:
    """The lock files of a journal: of processes that have ended, and of those that live or cannot be told."""

    dead: tuple[Path, ...]
    living: tuple[Path, ...]


def look(owners: Path) -> Owners:
    """Who has left a lock file. Outside the commit lock one that is just being made can seem dead."""
    free = {path: _is_free(str(path)) for path in sorted(owners.glob("*.lock"))}
    return Owners(
        dead=tuple(path for path, is_free in free.items() if is_free),
        living=tuple(path for path, is_free in free.items() if not is_free),
    )


def sweep(owners: Path) -> int:
    """Remove the lock files of processes that have ended; how many. Only under the commit lock, where none is half made."""
    dead = look(owners).dead
    for path in dead:
        path.unlink(missing_ok=True)
    return len(dead)


def forget_after_fork() -> None:
    """In a forked child: the parent's locks are not the child's; it may probe them like any other's."""
    _process.held, _process.kept, _process.at_work = set(), {}, {}
    _process.lock = threading.Lock()
