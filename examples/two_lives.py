"""What the examples share: two processes of which the first dies in the middle, and a book of what really happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Book:
    """What really happened, written down outside of the agent: one line per effect."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, key: str, what: str) -> str:
        with self._path.open("a") as file:
            file.write(f"{key}\t{what}\n")
        return what

    def find(self, key: str) -> str | None:
        """What was written under the key."""
        return dict(line.split("\t") for line in self.lines()).get(key)

    def lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []


def die() -> None:
    """End this process as `kill -9` does: nothing is cleaned up or reported. A second later, so that siblings have finished."""
    time.sleep(1)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def first_life() -> bool:
    return "first" in sys.argv


def in_two_lives(script: str, *options: str) -> None:
    """Run the script as two processes, one after the other. They share a folder, and the first dies in the middle."""
    with tempfile.TemporaryDirectory() as folder:
        book = Book(Path(folder) / "book.txt")
        for life in ("first", "second"):
            environment = {**os.environ, "TOOLSLOT_HOME": str(Path(folder) / "journal")}
            command = [sys.executable, script, life, folder, *options]
            died = subprocess.run(command, env=environment, check=False).returncode
            print(f"the {life} process {'was killed' if died else 'came to its end'}", flush=True)
        for line in sorted(line.split("\t")[1] for line in book.lines()):
            print(f"in the book: {line}")
