"""What an examination of a journal can find, and what of it can be repaired without guessing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from typing_extensions import assert_never


class FindingKind(str, Enum):
    """Each has one remedy, in `remedy`."""

    # --- damage
    #: SQLite's own check complains of more than an index
    ENGINE = "engine"
    #: only an index of the database is damaged; the rows themselves are all there
    INDEX = "index"
    #: a batch whose rows do not make up what was written
    BATCH = "batch"
    #: a batch is listed, its rows are gone, and its run was not purged
    VANISHED = "vanished"
    #: a sound batch that the list of batches does not name
    UNLISTED = "unlisted"
    #: a row of the list of batches that cannot be read
    LISTING = "listing"
    #: the list names a batch whose rows a finished purge deleted
    PURGED_LISTING = "purged_listing"
    #: another row that cannot be read
    ROW = "row"
    #: rows that toolslot never writes
    FOREIGN_ROWS = "foreign_rows"
    #: the database cannot be read at all
    UNREADABLE = "unreadable"
    #: files are missing, empty, or belong to another journal
    REPLACED = "replaced"
    #: a newer version of toolslot wrote it
    TOO_NEW = "too_new"
    #: somebody else could write it, or it lies where locks do not hold
    UNSAFE = "unsafe"

    # --- worth knowing
    #: SQLite's log is missing or empty although a process died with the journal open
    LOG_MISSING = "log_missing"
    #: a purge that was interrupted
    DELETION = "deletion"
    #: parts of large values that no row refers to
    ORPHAN_CHUNKS = "orphan_chunks"
    #: SQLite's log is long, and nobody has the journal open
    LONG_LOG = "long_log"
    #: lock files of processes that have ended
    STALE_OWNERS = "stale_owners"
    #: settings in the database differ from those of a journal
    SETTINGS = "settings"
    #: an opener died while it made the database
    UNFINISHED = "unfinished"
    #: an older format, which the next opener migrates
    OLD_FORMAT = "old_format"
    #: a batch that a salvage could not bring over
    LOST = "lost"
    #: other users can read it
    READABLE = "readable"
    #: the disk is nearly full
    LITTLE_ROOM = "little_room"
    #: it lies where locks may not hold
    DOUBTFUL_LOCKS = "doubtful_locks"
    #: it lies in memory
    VOLATILE = "volatile"
    #: with which keys the payloads are encrypted
    ENCRYPTION = "encryption"
    #: SQLite has the defect of write-ahead logs
    ENGINE_DEFECT = "engine_defect"


class Remedy(str, Enum):
    """What can be done about a finding."""

    REPAIR = "repair"
    SALVAGE = "salvage"
    RESTORE = "restore"
    #: what the finding's text says
    BY_HAND = "by_hand"
    NONE = "none"


_NOTES = frozenset(
    {
        FindingKind.LOG_MISSING,
        FindingKind.DELETION,
        FindingKind.ORPHAN_CHUNKS,
        FindingKind.LONG_LOG,
        FindingKind.STALE_OWNERS,
        FindingKind.SETTINGS,
        FindingKind.UNFINISHED,
        FindingKind.OLD_FORMAT,
        FindingKind.LOST,
        FindingKind.READABLE,
        FindingKind.LITTLE_ROOM,
        FindingKind.DOUBTFUL_LOCKS,
        FindingKind.VOLATILE,
        FindingKind.ENCRYPTION,
        FindingKind.ENGINE_DEFECT,
    }
)


def remedy(kind: FindingKind) -> Remedy:
    """What helps against a finding of this kind."""
    match kind:
        case (
            FindingKind.INDEX
            | FindingKind.UNLISTED
            | FindingKind.LISTING
            | FindingKind.PURGED_LISTING
            | FindingKind.DELETION
            | FindingKind.ORPHAN_CHUNKS
            | FindingKind.LONG_LOG
            | FindingKind.STALE_OWNERS
            | FindingKind.SETTINGS
            | FindingKind.UNFINISHED
        ):
            return Remedy.REPAIR
        case (
            FindingKind.ENGINE
            | FindingKind.BATCH
            | FindingKind.VANISHED
            | FindingKind.ROW
            | FindingKind.UNREADABLE
        ):
            return Remedy.SALVAGE
        case FindingKind.REPLACED:
            return Remedy.RESTORE
        case (
            FindingKind.FOREIGN_ROWS
            | FindingKind.LOG_MISSING
            | FindingKind.TOO_NEW
            | FindingKind.UNSAFE
            | FindingKind.READABLE
            | FindingKind.LITTLE_ROOM
            | FindingKind.DOUBTFUL_LOCKS
            | FindingKind.VOLATILE
        ):
            return Remedy.BY_HAND
        case FindingKind.OLD_FORMAT | FindingKind.LOST | FindingKind.ENCRYPTION | FindingKind.ENGINE_DEFECT:
            return Remedy.NONE
        case _:
            assert_never(kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was found. `subject` is the row, key prefix, run or file it is about, as `--repair` needs it."""

    kind: FindingKind
    text: str
    subject: str = ""

    @property
    def damage(self) -> bool:
        return self.kind not in _NOTES

    def to_json(self) -> dict[str, object]:
        """For programs; `remedy` says what helps."""
        return {
            "kind": self.kind.value,
            "damage": self.damage,
            "text": self.text,
            "subject": self.subject,
            "remedy": remedy(self.kind).value,
        }

    @property
    def repairable(self) -> bool:
        return remedy(self.kind) is Remedy.REPAIR


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalReport:
    """What an examination found, most of it in `findings`. `problems` are the texts of damages; `notes` those of what is worth
    knowing and no damage. `settings` are those of SQLite and diskcache that the database holds.
    """

    path: str
    journal_id: str = ""
    batches: int = 0
    rows: int = 0
    findings: tuple[Finding, ...] = ()
    settings: dict[str, int | str] = field(default_factory=lambda: {})

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(finding.text for finding in self.findings if finding.damage)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(finding.text for finding in self.findings if not finding.damage)

    @property
    def sound(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "path": self.path,
            "journal_id": self.journal_id,
            "sound": self.sound,
            "batches": self.batches,
            "rows": self.rows,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "findings": [finding.to_json() for finding in self.findings],
            "settings": dict(self.settings),
        }

    def of(self, kind: FindingKind) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.kind is kind)
