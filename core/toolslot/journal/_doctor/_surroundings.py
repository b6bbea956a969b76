"""What can be told of a journal without opening its database: whose it is, where it lies, who left what behind."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from toolslot._errors import JournalUnsafe
from toolslot.journal._disk._filesystem import Trust, is_volatile, trust_in, type_of
from toolslot.journal._disk._log_frames import unread_commits
from toolslot.journal._disk._owner_lock import Owners, look
from toolslot.journal._disk._place import Place, check_safe
from toolslot.journal._doctor._findings import Finding, FindingKind

#: less free room than this, or than the database itself takes, is told
_ROOM = 64 * 2**20
_LONG_LOG = 16 * 2**20
_OTHERS_READ = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH


def surroundings(place: Place) -> Iterator[Finding]:
    """Look at the directory and the file system. Changes nothing."""
    yield from _permissions(place)
    yield from _file_system(place)
    yield from _left_behind(place, look(place.owners))


def _permissions(place: Place) -> Iterator[Finding]:
    try:
        check_safe(place)
    except JournalUnsafe as error:
        yield Finding(kind=FindingKind.UNSAFE, text=str(error), subject=str(place.root))
    mode = stat.S_IMODE(os.stat(place.root).st_mode)
    if mode & _OTHERS_READ:
        yield Finding(
            kind=FindingKind.READABLE,
            text=f"{place.root} has mode {mode:04o}: other users may read arguments and results. To keep them out: chmod 700 {place.root}",
        )


def _file_system(place: Place) -> Iterator[Finding]:
    kind = type_of(place.root)
    if kind is not None and trust_in(kind) is Trust.REMOTE:
        yield Finding(
            kind=FindingKind.UNSAFE,
            text=f"{place.root} lies on a {kind} file system, where SQLite's locks and shared memory do not hold. Move the whole"
            " directory to a local disk while nobody has it open.",
        )
    if kind is not None and trust_in(kind) is Trust.DOUBTFUL:
        yield Finding(
            kind=FindingKind.DOUBTFUL_LOCKS,
            text=f"{place.root} lies on a {kind} file system, of which toolslot does not know whether locks and shared memory hold."
            " Move the whole directory to a local disk while nobody has it open, unless only this machine uses it and its locks are known"
            " to work.",
        )
    if kind is not None and is_volatile(kind):
        yield Finding(
            kind=FindingKind.VOLATILE,
            text=f"{place.root} lies on {kind}, in memory: it survives no reboot.",
        )
    free = shutil.disk_usage(place.root).free
    needed = max(_ROOM, _size(place.database))
    if free < needed:
        yield Finding(
            kind=FindingKind.LITTLE_ROOM,
            text=f"{free // 2**20} MiB are free where {place.root} lies. Make room: a full disk stops agents, and a repair needs"
            f" {needed // 2**20} MiB for its backup.",
        )


def _left_behind(place: Place, owners: Owners) -> Iterator[Finding]:
    if owners.dead:
        yield Finding(
            kind=FindingKind.STALE_OWNERS,
            text=f"{len(owners.dead)} processes ended without closing the journal. Their lock files are free, and the next opener"
            " removes them.",
        )
    log = _size(place.wal)
    if owners.dead and os.path.exists(place.database) and not log:
        yield Finding(
            kind=FindingKind.LOG_MISSING,
            text=f"{place.wal} is missing or empty although a process died with the journal open. If that process had just emptied it, or"
            " another program has opened and closed the database since then, all is well; if somebody deleted the file, the records of"
            " the last commits went with it.",
        )
    if log and owners.dead and not owners.living:
        yield from _log(place)
    if log > _LONG_LOG and not owners.living:
        yield Finding(
            kind=FindingKind.LONG_LOG,
            text=f"SQLite's log {place.wal} has {log // 2**20} MiB, and nobody has the journal open.",
        )
    if os.path.lexists(place.unfinished):
        yield Finding(
            kind=FindingKind.UNFINISHED,
            text=f"{place.unfinished} was left by a process that died while it made the database. It is no journal yet.",
            subject=str(place.unfinished),
        )


def _log(place: Place) -> Iterator[Finding]:
    unread = unread_commits(Path(place.wal).read_bytes())
    if unread > 1:
        yield Finding(
            kind=FindingKind.ENGINE,
            text=f"SQLite's log {place.wal} is damaged, and {unread} commits after that cannot be read: what they recorded is lost, and the"
            " next opener would not know it. Do not let agents resume before it is known what their calls did.",
        )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
