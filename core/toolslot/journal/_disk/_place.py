"""The journal's directory: where its files are, and whether a journal may live there at all.

    root/           0700
      commit.lock   held around every commit; contains the journal's id
      commit.holder who took the lock last, and when: for messages only
      owners/       one lock file for each process that has the journal open, held for as long as it lives
      db/           diskcache's directory, nothing else in it

cache.db, its -wal and its -shm are never opened here once SQLite has them: closing any descriptor of a file drops all
POSIX locks the process holds on it. The same goes for commit.lock and the process's own file in owners/.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from toolslot._errors import (
    InvalidSetting,
    JournalUnavailable,
    JournalUnsafe,
    NotAJournal,
)
from toolslot.journal._disk._file_lock import no_locks

DATABASE = "cache.db"
#: what may be there before the lock file: somebody is just making the journal, or died while he did, or met a full disk
_OURS = re.compile(r"\.gitignore|owners|probe-\d+").fullmatch
_NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_PROBE = 65536
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class Place:
    """The paths of one journal. `root` is absolute and free of symbolic links."""

    root: Path

    @cached_property
    def commit_lock(self) -> str:
        return str(self.root / "commit.lock")

    @cached_property
    def commit_holder(self) -> str:
        return str(self.root / "commit.holder")

    @cached_property
    def owners(self) -> Path:
        return self.root / "owners"

    @cached_property
    def directory(self) -> Path:
        return self.root / "db"

    @cached_property
    def unfinished(self) -> Path:
        """Where a new database is made before it is moved to its place in one step."""
        return self.root / "db.new"

    @cached_property
    def database(self) -> str:
        return str(self.directory / DATABASE)

    @cached_property
    def wal(self) -> str:
        return self.database + "-wal"


def resolve(path: str | os.PathLike[str]) -> Place:
    """The place that `path` names. A symbolic link as its last part is refused: the owner of the link could redirect it.

    Raises:
        InvalidSetting: no file can have such a name.
        JournalUnsupported: on Windows.
        JournalUnsafe: the path is a symbolic link.
        JournalUnavailable: the path cannot be resolved.
    """
    if sys.platform == "win32":
        raise no_locks()
    given = Path(_named(path))
    try:
        if given.is_symlink():
            raise JournalUnsafe(
                f"{given} is a symbolic link; name the journal's real directory: {given.resolve()}"
            )
        return Place(given.resolve())
    except (OSError, RuntimeError) as error:
        raise JournalUnavailable(f"the journal's path {str(given)!r} cannot be resolved: {error}") from error


def _named(path: str | os.PathLike[str]) -> str:
    name: object = os.fspath(path)
    if not isinstance(name, str) or not name.strip() or "\0" in name:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSetting(
            f"the journal is given as {name!r:.200}, which names no directory: a path is a text that is not empty and has no NUL in it."
            " Leave it out for TOOLSLOT_HOME or ./.toolslot, or name a directory: './.toolslot'."
        )
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise InvalidSetting(
            f"the journal's path {name!r:.200} holds characters that no file name can have here. Name another directory."
        ) from error
    return name


def prepare(place: Place) -> None:
    """Create root/ and owners/ where they are missing, and refuse a root that is something else or unsafe.

    Raises:
        NotAJournal: there is another kind of file or directory.
        JournalUnsafe: somebody else could write here.
    """
    root = place.root
    try:
        root.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not root.is_dir():
            raise NotAJournal(f"{root} is a file; a journal is a directory. Name another path.") from None
        _refuse_foreign(place)
    check_safe(place)
    place.owners.mkdir(mode=0o700, exist_ok=True)
    if not place.directory.exists():
        # Results may be secrets: they must not get into a repository because the journal lies in a working copy.
        with (place.root / ".gitignore").open("a", encoding="ascii") as file:
            if not file.tell():
                file.write("*\n")


def _refuse_foreign(place: Place) -> None:
    if (place.root / DATABASE).exists():
        raise NotAJournal(
            f"{place.root} is a diskcache directory, not a toolslot journal. It was left alone; name another path."
        )
    strange = [name for name in os.listdir(place.root) if not _OURS(name)]
    # Only now: all other files of a journal are made after its lock file, also while we were looking.
    if strange and not os.path.lexists(place.commit_lock):
        raise NotAJournal(
            f"{place.root} holds other files and no toolslot journal. It was left alone; name an empty or a new directory."
        )


def check_safe(place: Place, *, read_only: bool = False) -> None:
    """Refuse files that another user could write or exchange: who writes the database decides what is replayed.

    Raises:
        JournalUnsafe: a file or directory has another owner, is writable for others, or is a symbolic link.
    """
    for path in (str(place.root), str(place.owners), str(place.directory), *_files(place)):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(status.st_mode):
            raise JournalUnsafe(
                f"{path} is a symbolic link. A journal's own files never are; remove it, or use another path."
            )
        if status.st_uid != os.geteuid() and not read_only:
            raise JournalUnsafe(
                f"{path} belongs to user {status.st_uid}, this process runs as user {os.geteuid()}. A journal is written by its"
                " owner only: run as that user, use another path, or open it with read_only=True."
            )
        if status.st_mode & _OTHERS_WRITE:
            raise JournalUnsafe(
                f"{path} has mode {stat.S_IMODE(status.st_mode):04o}: other users can write it, and so decide what an agent"
                f" believes it did. If nobody has: chmod go-w {path}"
            )


def _files(place: Place) -> tuple[str, ...]:
    return (place.commit_lock, place.commit_holder, place.database, place.wal, place.database + "-shm")


def why_not_writable(place: Place) -> OSError | None:
    """The reason when a file can no longer grow here: a full disk, a quota, a file system that became read-only. None for any other."""
    probe = place.root / f"probe-{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(descriptor, bytes(_PROBE))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError as error:
        return error if error.errno in _NOT_WRITABLE else None
    return None


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
