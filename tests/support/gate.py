"""A gate that many processes wait at, and pass at the same instant: a lock that one holds alone and the others want to share."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def gate(path: Path) -> Iterator[None]:
    """Nobody passes until the block ends; then all do at once."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)


def pass_gate(path: Path) -> None:
    """Say READY, and go on once the gate is open."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        say("READY")
        fcntl.flock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def say(word: str) -> None:
    """One whole line on standard output, from whatever thread."""
    os.write(1, f"{word}\n".encode())
