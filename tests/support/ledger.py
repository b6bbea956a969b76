"""A ledger outside the process: an append-only file, forced to disk at every line, that tools write and tests judge by."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path


class Ledger:
    """One line per fact. Appending is atomic between processes; what was appended survives the writer."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def note(self, *words: object) -> None:
        line = " ".join(str(word) for word in words) + "\n"
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line.encode())
            os.fsync(fd)
        finally:
            os.close(fd)

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def count(self, *words: object) -> int:
        return self.lines().count(" ".join(str(word) for word in words))

    def counts(self, verb: str, names: range) -> list[int]:
        """How often "verb name" stands there, for each name."""
        seen = Counter(self.lines())
        return [seen[f"{verb} {name}"] for name in names]
