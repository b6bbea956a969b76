"""Whatever happens to the files, nothing is dropped, guessed or repaired in silence, and one batch's damage is its own."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.batches import database, manifest, reserve, reserving, with_args, working
from support.doctoring import seal
from support.examining import examined
from toolslot import BatchKey
from toolslot._domain._slot import SlotState
from toolslot._errors import JournalCorrupt, JournalError, JournalReplaced, JournalTooNew, JournalUnavailable
from toolslot.journal import DiskJournal
from toolslot.journal._disk import _locked_store
from toolslot.testing._worker import do

HURT, SOUND = BatchKey("run", "hurt"), BatchKey("run", "sound")


@pytest.fixture
def filled(root: Path) -> Path:
    """A closed journal with two batches: one to damage, one that must not care."""
    with DiskJournal.open(root) as journal:
        for key in (HURT, SOUND):
            worker = reserve(journal, 3, batch=key.batch_id)
            worker.run(0, "zero")
            later = worker.succeed(journal, worker.owner)
            later.run(1, "one")
    return root


def tamper(root: Path, statement: str, *values: object) -> int:
    with closing(sqlite3.connect(database(root))) as connection, connection:
        return connection.execute(statement, values).rowcount


ROWS = {
    "manifest": "b/run/hurt/#m",
    "fence": "b/run/hurt/#f",
    "tenure": "b/run/hurt/#o00000002",
    "first commit": "b/run/hurt/00000001",
    "last commit": "b/run/hurt/00000004",
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM Cache WHERE key = ?",
        "UPDATE Cache SET value = substr(value, 1, length(value) - 1) WHERE key = ?",
        "UPDATE Cache SET value = x'' WHERE key = ?",
        "UPDATE Cache SET value = NULL WHERE key = ?",
        "UPDATE Cache SET value = CAST(value AS TEXT) WHERE key = ?",
        "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'b/run/sound/#m') WHERE key = ?",
        "UPDATE Cache SET value = x'02' || substr(value, 2) WHERE key = ?",
    ],
)
def test_a_damaged_or_missing_row_is_corruption_of_its_batch_and_of_no_other(
    filled: Path, row: str, damage: str
) -> None:
    assert tamper(filled, damage, ROWS[row]) == 1
    with DiskJournal.open(filled) as journal:
        with pytest.raises(JournalCorrupt, match="batch run/hurt"):
            journal.load(HURT).result(10)
        with pytest.raises(JournalCorrupt, match="batch run/hurt"):
            do(journal, reserving(journal, manifest(3, batch="hurt")))
        sound = journal.load(SOUND).result(10)
        assert sound is not None
        assert [slot.state for slot in sound.slots] == [
            SlotState.SUCCEEDED,
            SlotState.SUCCEEDED,
            SlotState.RESERVED,
        ]
        assert len(examined(journal).problems) >= 1


def test_a_damaged_batch_does_not_fail_the_group_it_is_in(filled: Path) -> None:
    tamper(filled, "DELETE FROM Cache WHERE key = 'b/run/hurt/00000002'")
    with DiskJournal.open(filled) as journal:
        hurt = [journal.submit(reserving(journal, manifest(3, batch="hurt"))) for _ in range(5)]
        fresh = [journal.submit(reserving(journal, manifest(1, batch=f"new {n}"))) for n in range(5)]
        assert all(isinstance(future.exception(10), JournalCorrupt) for future in hurt)
        assert all(future.result(10).fresh for future in fresh)


def test_a_surplus_row_is_corruption_too(filled: Path) -> None:
    tamper(
        filled,
        "INSERT INTO Cache(key, raw, mode, value) SELECT 'b/run/hurt/00000005', 1, 1, value FROM Cache WHERE key = ?",
        ROWS["last commit"],
    )
    with DiskJournal.open(filled) as journal, pytest.raises(JournalCorrupt, match="run/hurt"):
        journal.load(HURT).result(10)


def test_a_whole_batch_that_vanished_is_told_by_check(filled: Path) -> None:
    tamper(filled, "DELETE FROM Cache WHERE key LIKE 'b/run/hurt/%'")
    with DiskJournal.open(filled) as journal:
        assert journal.load(HURT).result(10) is None, "nothing is left that could tell"
        assert examined(journal).problems == ("batch run/hurt is listed, but its rows are gone.",)


def test_a_damaged_row_of_the_list_hides_no_batch(filled: Path) -> None:
    tamper(filled, "UPDATE Cache SET value = x'00' WHERE key = 'i/run/hurt'")
    with DiskJournal.open(filled) as journal:
        assert journal.keys().result(10) == (HURT, SOUND)
        assert journal.load(HURT).result(10)
        assert len(examined(journal).problems) == 1


def test_a_batch_that_is_not_listed_is_told_by_check(filled: Path) -> None:
    tamper(filled, "DELETE FROM Cache WHERE key LIKE 'i/run/hurt'")
    with DiskJournal.open(filled) as journal:
        assert examined(journal).problems == ("the rows 'b/run/hurt' belong to a batch that is not listed.",)


@pytest.mark.parametrize("part", ["arguments", "result"])
def test_a_missing_part_of_a_large_value_is_corruption(root: Path, part: str) -> None:
    with DiskJournal.open(root) as journal:
        worker = working(journal, with_args(manifest(1), 1_500_000 if part == "arguments" else 10))
        worker.run(0, "r" * 600_000 if part == "result" else "r")
        assert worker.record()
    assert tamper(root, "DELETE FROM Cache WHERE key LIKE 'b/run/batch/~%.00001'") == 1
    with DiskJournal.open(root) as journal, pytest.raises(JournalCorrupt, match=r"part .* is missing"):
        worker.through(journal).record()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE Cache SET value = substr(value, 1, 1000) WHERE key LIKE 'b/run/batch/~%.00001'",
        "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key LIKE '%.00000') WHERE key LIKE '%.00001'",
        "UPDATE Cache SET value = x'' WHERE key LIKE 'b/run/batch/~%.00001'",
    ],
    ids=["cut", "swapped", "emptied"],
)
def test_a_torn_large_value_is_never_handed_out(root: Path, damage: str) -> None:
    with DiskJournal.open(root) as journal:
        worker = reserve(journal, 2)
        worker.run(0, "r" * 600_000)
    assert tamper(root, damage) == 1
    with DiskJournal.open(root) as journal:
        with pytest.raises(JournalCorrupt, match="run/batch"):
            worker.through(journal).record()
        assert len(examined(journal).problems) == 1


CRAFTED = {
    "a reference with a digest that is no key": b'[{"chunks":{"digest":"\\ud800","count":1,"size":3}}]',
    "nesting without end": b"[" * 100_000,
    "a time that no clock gives": (
        b'[{"kind":"paused","index":0,"generation":1,"attempt":1,"epoch":1,"at":1e999}]'
    ),
}


@pytest.mark.parametrize("body", CRAFTED.values(), ids=CRAFTED.keys())
def test_a_crafted_row_is_corruption_of_its_batch_and_of_no_other(filled: Path, body: bytes) -> None:
    key = ROWS["first commit"]
    assert tamper(filled, "UPDATE Cache SET value = ? WHERE key = ?", seal(key, body), key) == 1
    with DiskJournal.open(filled) as journal:
        loads = journal.load(HURT), journal.load(SOUND)
        with pytest.raises(JournalCorrupt, match="run/hurt"):
            loads[0].result(30)
        assert loads[1].result(30) is not None
        assert len(examined(journal).problems) == 1


def overwrite(path: Path, where: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(where)
        file.write(what)


FILES: dict[str, Callable[[Path], object]] = {
    "header garbage": lambda path: overwrite(path, 0, b"not a database at all"),
    "cut to one page": lambda path: os.truncate(path, 4096),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "first page garbage": lambda path: overwrite(path, 100, b"\xff" * 3000),
    "all pages but the first garbage": lambda path: overwrite(
        path, 4096, b"\xff" * (path.stat().st_size - 4096)
    ),
}


@pytest.mark.parametrize("damage", FILES)
def test_a_damaged_file_is_refused_and_left_as_it_is(filled: Path, damage: str) -> None:
    FILES[damage](database(filled))
    before = database(filled).read_bytes()
    with pytest.raises(JournalError) as caught, DiskJournal.open(filled) as journal:
        journal.load(HURT).result(10)
    assert isinstance(caught.value, JournalCorrupt)
    assert str(filled) in str(caught.value)
    assert len(database(filled).read_bytes()) >= len(before), "nothing was cut away"


def test_an_emptied_database_does_not_pass_for_a_new_journal(filled: Path) -> None:
    os.truncate(database(filled), 0)
    with pytest.raises(JournalReplaced, match="missing or empty"):
        DiskJournal.open(filled)


def test_a_deleted_database_does_not_pass_for_a_new_journal(filled: Path) -> None:
    database(filled).unlink()
    with pytest.raises(JournalReplaced, match="missing or empty"):
        DiskJournal.open(filled)


def test_a_deleted_database_directory_does_not_pass_for_a_new_journal(filled: Path) -> None:
    shutil.rmtree(filled / "db")
    with pytest.raises(JournalReplaced, match="is gone"):
        DiskJournal.open(filled)
    assert not (filled / "db").exists()


def test_another_journals_database_is_noticed(filled: Path, tmp_path: Path) -> None:
    DiskJournal.open(tmp_path / "other").close()
    shutil.rmtree(filled / "db")
    shutil.copytree(tmp_path / "other" / "db", filled / "db")
    with pytest.raises(JournalReplaced, match="belongs to journal"):
        DiskJournal.open(filled)


@pytest.mark.parametrize("victim", ["db/cache.db", "db/cache.db-wal", "commit.lock", "db", ""])
def test_files_pulled_away_under_an_open_journal_are_noticed_at_the_next_use(
    root: Path, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_locked_store, "_LOOK_EVERY", 0.0)  # at the lock file it looks but once a second
    journal = DiskJournal.open(root)
    try:
        worker = reserve(journal)
        path = root / victim
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        worker.refused(JournalReplaced, worker.started(0))
        with pytest.raises(JournalReplaced):
            journal.load(worker.key).result(10)
    finally:
        journal.close()


def test_a_database_exchanged_under_an_open_journal_is_noticed(root: Path, tmp_path: Path) -> None:
    journal = DiskJournal.open(root)
    try:
        worker = reserve(journal)
        DiskJournal.open(tmp_path / "other").close()
        (tmp_path / "other" / "db" / "cache.db").replace(database(root))
        worker.refused(JournalReplaced, worker.started(0))
    finally:
        journal.close()


def test_a_newer_format_is_refused_unchanged(filled: Path) -> None:
    tamper(filled, "PRAGMA user_version=99")
    before = database(filled).read_bytes()
    with pytest.raises(JournalTooNew, match="format 99"):
        DiskJournal.open(filled)
    assert database(filled).read_bytes() == before


@pytest.mark.parametrize("left", ["", "owners", ".gitignore", "probe-17", "commit.lock", "db.new"])
def test_an_opener_that_died_early_leaves_nothing_in_the_way(root: Path, left: str) -> None:
    root.mkdir(mode=0o700)
    if left == "db.new":
        (root / "commit.lock").touch(0o600)
        (root / "db.new").mkdir()
        (root / "db.new" / "cache.db").write_bytes(b"half a database")
    elif left == "owners":
        (root / "owners").mkdir(0o700)
    elif left:
        (root / left).touch(0o600)
    with DiskJournal.open(root) as journal:
        reserve(journal)
    assert not (root / "db.new").exists()


def test_an_opener_that_died_before_noting_the_id_leaves_a_whole_journal(filled: Path) -> None:
    os.truncate(filled / "commit.lock", 0)
    with DiskJournal.open(filled) as journal:
        assert journal.load(SOUND).result(10)
    assert len((filled / "commit.lock").read_text().strip()) == 36


@pytest.mark.parametrize("place", ["db/cache.db", "db"])
def test_a_directory_or_file_in_the_wrong_place_is_refused(root: Path, place: str) -> None:
    DiskJournal.open(root).close()
    shutil.rmtree(root / "db")
    if place == "db":
        (root / "db").write_text("")
    else:
        (root / "db").mkdir(0o700)
        (root / "db" / "cache.db").mkdir(0o700)
    with pytest.raises((JournalUnavailable, JournalReplaced)):
        DiskJournal.open(root)
