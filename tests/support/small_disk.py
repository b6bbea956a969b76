"""A real file system of a few MiB, to be filled up or made read-only."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave not a byte."""
        descriptor = os.open(self._ballast, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            for size in (2**20, 4096, 1):
                try:
                    while os.write(descriptor, bytes(size)):
                        pass
                except OSError as error:
                    assert error.errno == errno.ENOSPC
        finally:
            os.close(descriptor)

    def make_room(self) -> None:
        self._ballast.unlink()

    @contextmanager
    def full(self) -> Iterator[None]:
        self.fill()
        yield
        self.make_room()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """While nobody has a file open for writing."""
        mount("-o", "remount,ro", str(self.path))
        yield
        mount("-o", "remount,rw", str(self.path))


def mount(*args: str) -> None:
    done = subprocess.run(["mount", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr)


@contextmanager
def small_disk(path: Path, mebibytes: int = 8) -> Iterator[SmallDisk]:
    """The test is skipped where one may not mount."""
    path.mkdir()
    try:
        mount("-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "small", str(path))
    except OSError as error:
        pytest.skip(f"a small file system cannot be mounted here (root can): {error}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
