"""diskcache with the settings under which it is a journal and not a cache: nothing is evicted, nothing is pickled,
nothing is written beside the database, and a commit is on the disk when it returns.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
import sys
from contextlib import suppress
from operator import attrgetter
from types import ModuleType
from typing import Protocol

from toolslot._errors import JournalCorrupt, JournalReadOnly, JournalUnsupported

_RAW = 1
_NEVER = 2**62

#: The only settings a journal's database may hold besides diskcache's own counters. Another name would become an
#: attribute of the Cache or the text of a PRAGMA, even if somebody else wrote it there.
SETTINGS: dict[str, int | str] = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": _NEVER,
    "statistics": 0,
    "tag_index": 0,
    "disk_min_file_size": _NEVER,
    "disk_pickle_protocol": 4,  # diskcache wants one; nothing here ever pickles
    "sqlite_journal_mode": "wal",
    "sqlite_synchronous": 2,
    "sqlite_wal_autocheckpoint": 0,
    "sqlite_journal_size_limit": 64 * 2**20,
    "sqlite_mmap_size": 0,
    "sqlite_auto_vacuum": 2,
    "sqlite_cache_size": -8192,
    "sqlite_trusted_schema": 0,
    "sqlite_cell_size_check": 1,
    "sqlite_secure_delete": 1,
}
_MAC_SETTINGS = {"sqlite_fullfsync": 1, "sqlite_checkpoint_fullfsync": 1}
COUNTERS = frozenset({"count", "size", "hits", "misses"})

_EXPECTED_PRAGMAS = {"journal_mode": "wal", "wal_autocheckpoint": 0, "mmap_size": 0, "trusted_schema": 0}
_EXPECTED_ATTRIBUTES = {"eviction_policy": "none", "cull_limit": 0, "statistics": 0}


class Cache(Protocol):
    """The part of diskcache's Cache that a journal uses, beside its connection. Rows are written without it, as it would write them:
    its `add` and `set` take two statements and more for each.
    """

    def close(self) -> None: ...


def settings() -> dict[str, int | str]:
    return {**SETTINGS, **_MAC_SETTINGS} if sys.platform == "darwin" else dict(SETTINGS)


def known_setting(name: str) -> bool:
    return name in SETTINGS or name in _MAC_SETTINGS or name in COUNTERS


def open_cache(
    directory: str, *, timeout: float, synchronous: int, making: bool = False
) -> tuple[Cache, sqlite3.Connection]:
    """Open the database in `directory`, for the calling thread only, and prove that the settings hold.

    Must be called under the commit lock: opening writes. `timeout` is SQLite's own, in seconds. `making` is for a
    database that nobody has seen yet, whose many first commits need not be durable one by one; see `made`.

    Raises:
        JournalUnsupported: this diskcache or this SQLite does not do what a journal needs.
        JournalReadOnly: the database cannot be written.
    """
    module = diskcache()
    if os.path.expandvars(directory) != directory:
        raise JournalUnsupported(
            f"diskcache would replace the environment variable in the path {directory!r}. Put the journal elsewhere."
        )
    stored = {**settings(), "sqlite_synchronous": 0} if making else settings()
    # In two steps: a Cache whose making fails has a connection open already, which must not be left to chance.
    cache: Cache = module.Cache.__new__(module.Cache)
    try:
        module.Cache.__init__(cache, directory, timeout=timeout, disk=_bytes_disk(module.Disk), **stored)
        connection = connection_of(cache)
        connection.execute(f"PRAGMA synchronous={synchronous:d}")
        _prove(cache, connection, synchronous)
    except BaseException:
        with suppress(sqlite3.Error, AttributeError):
            cache.close()
        raise
    return cache, connection


def made(connection: sqlite3.Connection) -> None:
    """Let the commits of a database that was being made be durable from now on, for everybody."""
    connection.execute("UPDATE Settings SET value = 2 WHERE key = 'sqlite_synchronous'")
    connection.execute("PRAGMA synchronous=2")


def diskcache() -> ModuleType:
    """diskcache-community when it is installed, else diskcache: both write the same files."""
    try:
        return importlib.import_module("diskcache_community")
    except ImportError:
        return importlib.import_module("diskcache")


def connection_of(cache: Cache) -> sqlite3.Connection:
    connection: object = attrgetter("_con")(cache)
    if not isinstance(connection, sqlite3.Connection):
        raise JournalUnsupported(
            "this version of diskcache keeps its SQLite connection elsewhere, so the journal cannot check its settings."
            " Install diskcache 5.6.3 or a diskcache-community that is known to work."
        )
    return connection


def _prove(cache: Cache, connection: sqlite3.Connection, synchronous: int) -> None:
    if getattr(cache, "read_only", False):
        raise JournalReadOnly(
            "the journal's database cannot be written by this user; open it with read_only=True to look at it."
        )
    found = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in (*_EXPECTED_PRAGMAS, "synchronous")
    }
    found |= {name: getattr(cache, name, None) for name in _EXPECTED_ATTRIBUTES}
    expected = {**_EXPECTED_PRAGMAS, **_EXPECTED_ATTRIBUTES, "synchronous": synchronous}
    wrong = {name: value for name, value in found.items() if value != expected[name]}
    if wrong:
        raise JournalUnsupported(
            f"SQLite {sqlite3.sqlite_version} or diskcache did not take the settings a journal needs: found {wrong}, needed"
            f" { {name: expected[name] for name in wrong} }. Nothing was recorded."
        )


def _bytes_disk(base: type) -> type:
    """A diskcache Disk that moves text keys and bytes values only, and never a file or a pickle."""
    return type(
        "BytesDisk",
        (base,),
        {
            "put": _put,
            "get": _get,
            "store": _store,
            "fetch": _fetch,
            "filename": _no_file,
            "remove": _no_file,
        },
    )


def _put(_: object, key: object) -> tuple[str, bool]:
    if type(key) is not str:
        raise TypeError(f"a journal's keys are text, not {type(key).__name__}.")
    return key, True


def _get(_: object, key: object, raw: object) -> str:
    if not raw or type(key) is not str:
        raise JournalCorrupt(
            "the journal's database holds a key that toolslot never writes. It was not decoded."
        )
    return key


def _store(_: object, value: object, read: bool, key: object = None) -> tuple[int, int, None, memoryview]:
    if read or type(value) is not bytes:
        raise TypeError(f"a journal's values are bytes, not {type(value).__name__}.")
    return 0, _RAW, None, memoryview(value)


def _fetch(_: object, mode: object, filename: object, value: object, read: object) -> bytes:
    if mode != _RAW or filename is not None or read or type(value) is not bytes:
        raise JournalCorrupt(
            "the journal's database holds a value of a kind that toolslot never writes. It was not decoded."
        )
    return value


def _no_file(*_: object, **__: object) -> None:
    raise JournalCorrupt(
        "the journal's database names a file beside it. toolslot never writes one, so it was not touched."
    )
