"""The disk journal keeps the contract of journals."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.apart import open_apart
from toolslot.journal import Journal
from toolslot.testing import JournalContract


class TestDiskJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def _storage(self, tmp_path: Path) -> None:
        self.path = tmp_path / "journal"

    def make_journal(self) -> Journal:
        return open_apart(self.path)
