"""A ledger that outlives its process: a file, one line for each effect."""

from __future__ import annotations

from pathlib import Path


class LedgerFile:
    """As a list of keys."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def append(self, key: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{key}\n")

    def __contains__(self, key: str) -> bool:
        return self._path.exists() and key in self._path.read_text().split()
