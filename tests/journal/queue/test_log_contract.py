"""The queue, its group commit and its behaviour at forks keep the contract of journals over a store that is nothing like SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.log_store import LogJournal
from toolslot.journal import Journal
from toolslot.testing import JournalContract


class TestLogJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def _storage(self, tmp_path: Path) -> None:
        self.path = tmp_path / "journal"

    def make_journal(self) -> Journal:
        return LogJournal(self.path)
