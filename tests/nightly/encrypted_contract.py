"""The disk journal keeps the whole contract of journals when it is encrypted, too. Minutes; `make test` runs a part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.apart import open_apart
from toolslot import Encryption
from toolslot.journal import Journal
from toolslot.testing import JournalContract


class TestEncryptedDiskJournal(JournalContract):
    @pytest.fixture(autouse=True)
    def _storage(self, tmp_path: Path) -> None:
        self.path = tmp_path / "journal"

    def make_journal(self) -> Journal:
        return open_apart(self.path, encryption=Encryption([bytes(range(32))]))
