"""Having a journal for oneself, and a copy of it before anything is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from toolslot._errors import JournalBusy
from toolslot.journal._disk._commit_lock import CommitLock
from toolslot.journal._disk._owner_lock import look
from toolslot.journal._disk._place import DATABASE, Place, sync_directory


@contextmanager
def alone(place: Place, timeout: float) -> Generator[CommitLock]:
    """Hold the commit lock while no other process has the journal open. Readers do not count.

    Raises:
        JournalBusy: another process holds the lock, or has the journal open.
    """
    lock = CommitLock.shared(place.commit_lock, place.commit_holder)
    try:
        lock.acquire(timeout)
        try:
            refuse_if_open(place)
            yield lock
        finally:
            lock.release()
    finally:
        lock.drop()


def refuse_if_open(place: Place) -> None:
    """Only under the commit lock, where nobody is just opening it.

    Raises:
        JournalBusy: a living process has the journal open.
    """
    living = look(place.owners).living
    if living:
        raise JournalBusy(
            f"{len(living)} processes have the journal {place.root} open. Nothing was changed: end them, then try again."
        )


def back_up(place: Place, connection: sqlite3.Connection, journal_id: str) -> Path:
    """Copy the database, page by page and damage included, into a journal of its own next to this one. It is complete and durable
    when this returns; if it fails, nothing is left of it.

    Raises:
        sqlite3.Error, OSError: it could not be made.
    """
    target = Place(_new_directory(place.root))
    try:
        target.directory.mkdir(0o700)
        os.close(os.open(target.database, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(sqlite3.connect(target.database)) as copy:
            connection.backup(copy)
        _write(target.root / ".gitignore", "*\n")
        _write(Path(target.commit_lock), f"{journal_id}\n")
        _sync_file(target.directory / DATABASE)
        for directory in (target.directory, target.root, target.root.parent):
            sync_directory(directory)
    except BaseException:
        shutil.rmtree(target.root, ignore_errors=True)
        raise
    return target.root


def _new_directory(root: Path) -> Path:
    number = 1
    while True:
        path = root.with_name(f"{root.name}.backup-{number}")
        try:
            path.mkdir(0o700)
        except FileExistsError:
            number += 1
        else:
            return path


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, text.encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
