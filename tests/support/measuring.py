"""What this process takes of the machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from toolslot.journal._disk._commit_lock import CommitLock

_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory() -> int:
    """Bytes of memory in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def size(root: Path) -> int:
    """Bytes of all files under the folder. They are not opened: that would drop SQLite's locks."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Reading:
    """One look at this process and its journal."""

    memory: int
    descriptors: int
    threads: int
    journal: int

    @classmethod
    def now(cls, root: Path) -> Reading:
        return cls(memory(), len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), size(root))


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def at(values: list[float], part: float) -> float:
    """The quantile."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


@contextmanager
def lock_holds() -> Iterator[list[float]]:
    """How long this process holds the commit lock, each time, in milliseconds."""
    holds: list[float] = []
    acquire, release = CommitLock.acquire, CommitLock.release
    since: dict[int, float] = {}

    def acquiring(self: CommitLock, timeout: float) -> None:
        acquire(self, timeout)
        since[id(self)] = time.perf_counter()

    def releasing(self: CommitLock) -> None:
        holds.append((time.perf_counter() - since[id(self)]) * 1e3)
        release(self)

    with mock.patch.multiple(CommitLock, acquire=acquiring, release=releasing):
        yield holds
