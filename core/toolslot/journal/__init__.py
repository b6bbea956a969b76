"""The journal port, its verbs, and the back ends of the core."""

from __future__ import annotations

from toolslot._domain._append import Append
from toolslot._domain._claim import Claim, Claimed, ForgetEffect
from toolslot._domain._effects import Effect, EffectPage, EffectState, KnownEffect
from toolslot._domain._identity import OwnerState
from toolslot._domain._operations import (
    Adopt,
    Decide,
    Operation,
    Purge,
    Release,
    Reservation,
    Reserve,
    TakeOver,
)
from toolslot._domain._port import Journal, OldRuns
from toolslot._domain._state import BatchState, Change, JournalView, Write
from toolslot.journal._disk import DiskJournal, Durability
from toolslot.journal._doctor._findings import JournalReport
from toolslot.journal._memory import MemoryJournal, MemoryStore
from toolslot.journal._open import examine, journal_location, open_journal
from toolslot.journal._process import this_process
from toolslot.journal._retention import Retention, purge_older, purge_run

__all__ = [
    "Adopt",
    "Append",
    "BatchState",
    "Change",
    "Claim",
    "Claimed",
    "Decide",
    "DiskJournal",
    "Durability",
    "Effect",
    "EffectPage",
    "EffectState",
    "ForgetEffect",
    "Journal",
    "JournalReport",
    "JournalView",
    "KnownEffect",
    "MemoryJournal",
    "MemoryStore",
    "OldRuns",
    "Operation",
    "OwnerState",
    "Purge",
    "Release",
    "Reservation",
    "Reserve",
    "Retention",
    "TakeOver",
    "Write",
    "examine",
    "journal_location",
    "open_journal",
    "purge_older",
    "purge_run",
    "this_process",
]
