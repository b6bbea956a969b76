"""The journal in a directory, on diskcache: see `DiskJournal`."""

from __future__ import annotations

from toolslot.journal._disk._journal import DiskJournal, open_directory
from toolslot.journal._disk._options import Durability

__all__ = ["DiskJournal", "Durability", "open_directory"]
