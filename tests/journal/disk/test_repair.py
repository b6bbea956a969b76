"""`toolslot doctor --repair`: each damage is named, repaired after a backup, and then the runs resume as if it had not been."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from support.batches import database, manifest, reserve, reserving
from support.doctoring import FindingKind, JournalReport, diagnose, repair, seal
from support.sickness import (
    assert_resumes,
    copy_page,
    cut_short,
    die_after,
    keys_in,
    overwrite,
    pages,
    settle,
    spoil_page,
    tamper,
)
from toolslot._errors import JournalBusy, JournalFull
from toolslot.journal import DiskJournal, Purge
from toolslot.journal._disk import _alone
from toolslot.journal._disk._chunks import dumps
from toolslot.journal._doctor import _surroundings
from toolslot.journal._queue import _deletions
from toolslot.testing._worker import do

RUNS = [f"run-{number}" for number in range(40)]
LONG = "r" * 300


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed journal with forty runs, each cut short after two of its three calls."""
    root = tmp_path_factory.mktemp("template") / "journal"
    cut_short(root, RUNS)
    settle(root)
    return root


@pytest.fixture
def home(root: Path, template: Path) -> Path:
    return shutil.copytree(template, root)


def kinds(report: JournalReport) -> set[FindingKind]:
    return {finding.kind for finding in report.findings} - {FindingKind.ENGINE_DEFECT, FindingKind.VOLATILE}


def spoil_index(root: Path) -> None:
    for number in pages(root, "Cache_key_raw"):
        spoil_page(root, number)


def mix_up_index(root: Path) -> None:
    first, second, *_ = pages(root, "Cache_key_raw")
    copy_page(root, first, second)


def unlist(root: Path) -> None:
    tamper(root, "DELETE FROM Cache WHERE key IN ('i/run-3/b-1', 'i/run-30/b-1')")


def spoil_list(root: Path) -> None:
    tamper(root, "UPDATE Cache SET value = x'01' WHERE key = 'i/run-3/b-1'")


def keep_list_of_purged(root: Path) -> None:
    with closing(sqlite3.connect(database(root))) as connection:
        (value,) = connection.execute("SELECT value FROM Cache WHERE key = 'i/run-9/b-1'").fetchone()
    with DiskJournal.open(root) as journal:
        do(journal, Purge(run_id="run-9", at=0.0, why="enough"))
    tamper(
        root,
        "INSERT INTO Cache(key, raw, mode, value, size) VALUES ('i/run-9/b-1', 1, 1, ?, 0)",
        value,
    )


def orphan(root: Path) -> None:
    for prefix in ("b/run-3/b-1", "b/run-3/never", "p/run-3"):
        key = f"{prefix}/~{'0' * 32}.00000"
        statement = "INSERT INTO Cache(key, raw, mode, value, size) VALUES (?, 1, 1, ?, 0)"
        tamper(root, statement, key, seal(key, b"x" * 1000))


def die_while_purging(root: Path) -> None:
    def work() -> None:
        journal = DiskJournal.open(root)
        _deletions.Deletions.piece = lambda *_: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
        do(journal, Purge(run_id="run-9", at=0.0, why="enough"))

    die_after(work)
    settle_log(root)


def settle_log(root: Path) -> None:
    with closing(sqlite3.connect(database(root))) as connection:
        connection.execute("SELECT 1 FROM Cache").fetchall()


def change_settings(root: Path) -> None:
    tamper(root, "UPDATE Settings SET value = 'least-recently-stored' WHERE key = 'eviction_policy'")


def leave_lock(root: Path) -> None:
    (root / "owners" / "0123.lock").touch(0o600)
    settle_log(root)


def leave_unfinished(root: Path) -> None:
    (root / "db.new").mkdir()
    (root / "db.new" / "cache.db").write_bytes(b"half")


DAMAGES: dict[str, tuple[Callable[[Path], object], FindingKind]] = {
    "pages of an index are garbage": (spoil_index, FindingKind.INDEX),
    "a page of an index is another one's": (mix_up_index, FindingKind.INDEX),
    "batches are not listed": (unlist, FindingKind.UNLISTED),
    "a row of the list is damaged": (spoil_list, FindingKind.LISTING),
    "a purged batch is listed": (keep_list_of_purged, FindingKind.PURGED_LISTING),
    "parts of values belong to no row": (orphan, FindingKind.ORPHAN_CHUNKS),
    "a purge was cut short": (die_while_purging, FindingKind.DELETION),
    "settings were changed": (change_settings, FindingKind.SETTINGS),
    "a lock file was left": (leave_lock, FindingKind.STALE_OWNERS),
    "a database was begun": (leave_unfinished, FindingKind.UNFINISHED),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_named_repaired_after_a_backup_and_then_runs_resume(home: Path, name: str) -> None:
    damage, kind = DAMAGES[name]
    order = keys_in(home, "i/%")
    damage(home)
    before = kinds(diagnose(home))
    assert kind in before, diagnose(home).findings
    report = repair(home)
    assert report.done
    assert kinds(report.after) == set(), report.after.findings
    assert report.after.sound
    listed = keys_in(home, "i/%")
    assert listed == [key for key in order if key in listed], "the list stays in the order of reservation"
    for run in ("run-3", "run-30"):
        assert_resumes(home, run)
    if kind in (FindingKind.STALE_OWNERS, FindingKind.UNFINISHED):
        assert report.backup is None, "nothing in the database was changed"
        return
    assert report.backup == f"{home}.backup-1"
    assert Path(report.backup).stat().st_mode & 0o777 == 0o700
    beside = {FindingKind.STALE_OWNERS, FindingKind.LOG_MISSING}
    assert kinds(diagnose(report.backup)) == before - beside


def test_a_long_log_that_a_killed_process_left_is_emptied(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_surroundings, "_LONG_LOG", 50_000)
    cut_short(root, RUNS)
    wal = database(root).with_name("cache.db-wal")
    assert FindingKind.LONG_LOG in kinds(diagnose(root))
    assert repair(root).after.sound
    assert not wal.exists() or wal.stat().st_size == 0
    assert_resumes(root, "run-3")


def test_a_repair_changes_no_row_of_a_call(home: Path) -> None:
    def rows() -> list[object]:
        with closing(sqlite3.connect(database(home))) as connection:
            query = "SELECT key, value FROM Cache NOT INDEXED WHERE key GLOB 'b/*/[#0-9]*' ORDER BY key"
            return list(connection.execute(query))

    before = rows()
    unlist(home)
    orphan(home)
    spoil_index(home)
    assert repair(home).after.sound
    assert rows() == before


def test_what_is_damaged_beyond_repair_is_left_as_it_is(home: Path) -> None:
    unlist(home)
    spoil_page(home, pages(home, "Cache")[3])
    before = database(home).read_bytes()
    report = repair(home)
    assert not report.done
    assert report.backup is None
    assert not report.after.sound
    assert database(home).read_bytes() == before


def test_a_damaged_batch_keeps_nobody_from_repairing_the_rest(home: Path) -> None:
    tamper(home, "DELETE FROM Cache WHERE key = 'b/run-5/b-1/00000002'")
    unlist(home)
    report = repair(home)
    assert kinds(report.after) == {FindingKind.BATCH}
    assert_resumes(home, "run-3")


def test_the_parts_of_a_payload_whose_row_is_damaged_are_not_taken_for_leftovers(home: Path) -> None:
    """They are all that is left of it."""
    with DiskJournal.open(home) as journal:
        do(journal, replace(reserving(journal, manifest(1, run="paid")), run_payload=b"x" * 600_000))
    parts = keys_in(home, "p/paid/~%")
    assert len(parts) > 2
    tamper(home, "UPDATE Cache SET value = x'01' WHERE key = 'p/paid/#p'")
    unlist(home)
    report = repair(home)
    assert kinds(report.after) == {FindingKind.ROW}
    assert keys_in(home, "p/paid/~%") == parts


def test_a_vanished_batch_is_not_taken_for_a_purged_one(home: Path) -> None:
    tamper(home, "DELETE FROM Cache WHERE key LIKE 'b/run-5/%'")
    report = repair(home)
    assert kinds(report.after) == {FindingKind.VANISHED}
    assert "i/run-5/b-1" in keys_in(home)


HOLD = """
import sys
sys.path[:0] = {path!r}
from toolslot.journal import DiskJournal
journal = DiskJournal.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_journal_that_somebody_has_open_is_not_repaired(home: Path) -> None:
    unlist(home)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(path=sys.path), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(JournalBusy, match="1 processes have the journal"):
            repair(home)
        other.communicate()
    assert not Path(f"{home}.backup-1").exists()
    assert repair(home).after.sound


def test_nobody_can_open_it_while_it_is_repaired(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlist(home)
    back_up = _alone.back_up
    refused: list[bool] = []

    def trying(*args: object) -> object:
        with pytest.raises(JournalBusy):
            DiskJournal.open(home, lock_timeout=0)
        refused.append(True)
        return back_up(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("toolslot.journal._doctor._repair.back_up", trying)
    assert repair(home).after.sound
    assert refused


def test_without_room_for_the_backup_nothing_is_changed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlist(home)
    before = database(home).read_bytes()

    def no_room(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(_alone, "sync_directory", no_room)
    with pytest.raises(JournalFull):
        repair(home)
    assert database(home).read_bytes() == before
    assert [path.name for path in home.parent.iterdir()] == [home.name]


def test_a_second_repair_makes_a_second_backup_and_a_sound_journal_none(home: Path) -> None:
    for number in (1, 2):
        unlist(home)
        assert repair(home).backup == f"{home}.backup-{number}"
    assert repair(home).backup is None


def test_a_long_id_is_listed_again_by_its_manifest(root: Path) -> None:
    with DiskJournal.open(root) as journal:
        worker = reserve(journal, 2, run=LONG, batch="b" * 300)
        worker.run(0)
    tamper(root, "DELETE FROM Cache WHERE key LIKE 'i/%'")
    assert repair(root).after.sound
    with DiskJournal.open(root) as journal:
        assert journal.keys().result(10) == (worker.key,)


def test_a_purge_that_is_under_way_is_no_damage(home: Path) -> None:
    value = seal("d/run-9", dumps({"run_id": "run-9"}))
    tamper(home, "INSERT INTO Cache(key, raw, mode, value, size) VALUES ('d/run-9', 1, 1, ?, 0)", value)
    tamper(home, "DELETE FROM Cache WHERE key = 'b/run-9/b-1/00000001'")
    assert kinds(diagnose(home)) == {FindingKind.DELETION}


def test_the_engines_own_header_in_ruins_is_named(home: Path) -> None:
    overwrite(database(home), 0, b"not a database at all")
    report = diagnose(home)
    assert kinds(report) == {FindingKind.UNREADABLE}
    assert not repair(home).done
