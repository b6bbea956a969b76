"""The memory journal keeps the journal contract."""

from __future__ import annotations

from functools import cached_property

from typing_extensions import override

from toolslot.journal import Journal, MemoryJournal, MemoryStore
from toolslot.testing import JournalContract


class TestMemoryJournal(JournalContract):
    """Openers over one store, as processes over one directory."""

    @cached_property
    def store(self) -> MemoryStore:
        return MemoryStore()

    @override
    def make_journal(self) -> Journal:
        return MemoryJournal(self.store)
