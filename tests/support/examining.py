"""What the doctor says of a journal that is open here."""

from __future__ import annotations

from toolslot.journal import DiskJournal, JournalReport, examine


def examined(journal: DiskJournal) -> JournalReport:
    """Examined with the keys that it is open with."""
    return examine(journal.location, encryption=journal._directory.terms.options.encryption)
