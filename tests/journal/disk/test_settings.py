"""The database has the settings of a journal, on the very connection that writes."""

from __future__ import annotations

import importlib
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.batches import database, reserve
from support.examining import examined
from toolslot import InvalidSetting
from toolslot._errors import JournalUnsupported
from toolslot.journal import DiskJournal, Purge
from toolslot.journal._disk import _cache
from toolslot.testing._worker import do

NEEDED = {
    "synchronous": 2,
    "journal_mode": "wal",
    "wal_autocheckpoint": 0,
    "mmap_size": 0,
    "auto_vacuum": 2,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "secure_delete": 1,
    "journal_size_limit": 64 * 2**20,
    "cache_size": -8192,
}


def pragmas_in_use(journal: DiskJournal) -> dict[str, object]:
    """Asked through the writer, which alone may use the connection."""

    def ask(view: object) -> dict[str, object]:
        core = journal._session.present()
        assert core is not None
        connection = core.writer._store.connection
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in NEEDED}

    return journal._ask(ask).result(10)


def settings_of(root: Path) -> dict[str, object]:
    with closing(sqlite3.connect(database(root))) as connection:
        return dict(connection.execute("SELECT key, value FROM Settings"))


def test_the_writing_connection_has_the_settings_of_a_journal(journal: DiskJournal) -> None:
    assert pragmas_in_use(journal) == NEEDED


def test_durability_process_does_not_wait_for_the_disk(root: Path) -> None:
    with DiskJournal.open(root, durability="process") as journal:
        assert pragmas_in_use(journal) == {**NEEDED, "synchronous": 1}


def test_durability_process_is_not_left_behind_for_others(root: Path) -> None:
    DiskJournal.open(root, durability="process").close()
    assert settings_of(root)["sqlite_synchronous"] == 2


def test_settings_that_somebody_changed_are_put_right(root: Path) -> None:
    DiskJournal.open(root).close()
    with closing(sqlite3.connect(database(root))) as connection, connection:
        connection.execute("UPDATE Settings SET value = 0 WHERE key = 'sqlite_synchronous'")
        connection.execute("UPDATE Settings SET value = 1000 WHERE key = 'sqlite_wal_autocheckpoint'")
        connection.execute(
            "UPDATE Settings SET value = 'least-recently-stored' WHERE key = 'eviction_policy'"
        )
        connection.execute("UPDATE Settings SET value = 10 WHERE key = 'cull_limit'")
    with DiskJournal.open(root) as journal:
        assert pragmas_in_use(journal) == NEEDED
    assert settings_of(root)["eviction_policy"] == "none"
    assert settings_of(root)["cull_limit"] == 0


def test_nothing_is_evicted_however_much_is_written(journal: DiskJournal, root: Path) -> None:
    for number in range(40):
        worker = reserve(journal, 2, batch=f"batch {number}")
        worker.run(0, "x" * 50_000)
    core = journal._session.present()
    assert core is not None
    assert len(journal.keys().result(10)) == 40
    assert settings_of(root)["size_limit"] == 2**62


def test_a_sqlite_that_ignores_a_setting_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_cache._EXPECTED_PRAGMAS, "wal_autocheckpoint", 7)
    with pytest.raises(JournalUnsupported, match="wal_autocheckpoint"):
        DiskJournal.open(root)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"durability": "none"}, "durability='none'"),
        ({"lock_timeout": -1}, "lock_timeout=-1"),
        ({"lock_timeout": float("nan")}, "lock_timeout=nan"),
        ({"lock_timeout": float("inf")}, "lock_timeout=inf"),
        ({"max_result_bytes": 0}, "max_result_bytes=0"),
    ],
)
def test_settings_that_mean_nothing_are_refused_before_anything_is_made(
    root: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidSetting, match=message):
        DiskJournal.open(root, **settings)  # type: ignore[arg-type]
    assert not root.exists()


def test_the_disk_of_the_cache_takes_text_keys_and_bytes_only(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    cache: Any
    cache, connection = _cache.open_cache(str(tmp_path / "db"), timeout=1, synchronous=2)
    try:
        for key in (1, b"key", ("a", "b"), 1.5, None):
            with pytest.raises(TypeError, match="keys are text"):
                cache.add(key, b"value", retry=False)
        for value in ("text", 1, None, ["list"], bytearray(b"x")):
            with pytest.raises(TypeError, match="values are bytes"):
                cache.set("key", value, retry=False)
        cache.set("key", b"x" * 10**6, retry=False)
        assert connection.execute("SELECT count(*) FROM Cache WHERE filename IS NOT NULL").fetchone() == (0,)
    finally:
        cache.close()
    assert [path.name for path in (tmp_path / "db").iterdir()] == ["cache.db"], "no value files"


@pytest.mark.parametrize(
    ("first", "second"), [("diskcache", "diskcache_community"), ("diskcache_community", "diskcache")]
)
def test_diskcache_and_diskcache_community_open_each_others_journals(
    root: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    pytest.importorskip("diskcache_community")
    monkeypatch.setattr(_cache, "diskcache", lambda: importlib.import_module(first))
    with DiskJournal.open(root) as journal:
        worker = reserve(journal, 3)
        worker.run(0)
    for package in (second, first):
        monkeypatch.setattr(_cache, "diskcache", lambda package=package: importlib.import_module(package))
        with DiskJournal.open(root) as journal:
            assert pragmas_in_use(journal) == NEEDED
            worker = worker.through(journal)
            worker.run(1 if package == second else 2)
            assert examined(journal).sound
    with DiskJournal.open(root) as journal:
        assert worker.through(journal).record().settled


def test_diskcache_reads_every_row_and_its_counters_are_right(root: Path) -> None:
    """Rows are written as its own `set` would write them, though not by it."""
    with DiskJournal.open(root) as journal:
        worker = reserve(journal, 3)
        worker.run(0)
        worker.start(1)
        do(journal, Purge(run_id="other", at=1.0, why=""))
    with closing(sqlite3.connect(database(root))) as connection:
        rows = dict(connection.execute("SELECT key, value FROM Cache"))
        times = [at for (at,) in connection.execute("SELECT store_time FROM Cache")]
    cache: Any
    cache, _ = _cache.open_cache(str(database(root).parent), timeout=1, synchronous=2)
    with closing(cache):
        assert {key: cache.get(key) for key in cache} == rows
        assert len(cache) == len(rows)
        assert cache.check() == []
    assert all(abs(at - time.time()) < 3600 for at in times)


def test_a_record_takes_five_statements(journal: DiskJournal) -> None:
    """diskcache's `add` and `set` take five for its two rows alone; and nobody else has written, so nothing is looked up."""
    worker = reserve(journal, 2)
    statements: list[str] = []
    core = journal._session.present()
    assert core is not None
    store: Any = core.writer._store
    worker.start(0)
    journal._ask(lambda _: store.connection.set_trace_callback(statements.append)).result(10)
    worker.start(1)
    journal._ask(lambda _: store.connection.set_trace_callback(None)).result(10)
    written = statements[statements.index("BEGIN IMMEDIATE") : statements.index("COMMIT") + 1]
    once = [
        text.split()[0] for text in dict.fromkeys(written)
    ]  # it is told of again for each trigger, which counts rows
    assert once == ["BEGIN", "PRAGMA", "INSERT", "INSERT", "COMMIT"]
