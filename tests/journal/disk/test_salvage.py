"""`toolslot doctor --salvage`: sound batches come over whole, everything else is named and refused, and nothing is made up."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from support.batches import database, log_of, manifest, reserve, reserving
from support.doctoring import FindingKind, SalvageReport, diagnose, salvage, seal
from support.sickness import (
    PAGE,
    assert_resumes,
    copy_page,
    cut_short,
    keys_in,
    overwrite,
    pages,
    resume,
    spoil_page,
    tamper,
)
from toolslot import BatchKey, RunPurged
from toolslot._errors import JournalBusy, JournalCorrupt, JournalUnavailable, NotAJournal
from toolslot.journal import DiskJournal, Purge
from toolslot.testing._worker import do

RUNS = [f"run-{number}" for number in range(30)]
BIG = 600_000


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "journal"
    cut_short(root, RUNS)
    cut_short(root, ["big"], size=BIG)
    with DiskJournal.open(root) as journal:
        do(journal, Purge(run_id="run-1", at=0.0, why="enough"))
        do(journal, replace(reserving(journal, manifest(1, run="paid", batch="one")), run_payload=b"turn"))
        reserve(journal, 1, run="forked", batch="first", lineage="response").run(0)
        reserve(journal, 1, run="forked", batch="second", lineage="response")
    return root


@pytest.fixture
def home(root: Path, template: Path) -> Path:
    return shutil.copytree(template, root)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "salvaged"


def test_of_a_sound_journal_everything_comes_over(home: Path, target: Path) -> None:
    report = salvage(home, target)
    assert (report.lost, report.nameless, report.complete) == ((), False, True)
    wanted = [key for key in keys_in(home) if not key.startswith("meta/")]
    assert sorted(key for key in keys_in(target) if not key.startswith("meta/")) == sorted(wanted)
    assert keys_in(target, "i/%") == keys_in(home, "i/%")
    assert diagnose(target).sound
    assert diagnose(target).journal_id != diagnose(home).journal_id
    assert_resumes(target, "run-3")
    assert_resumes(target, "big", size=BIG)
    with DiskJournal.open(target) as journal:
        assert journal.run_payload("paid").result(10) == b"turn"
        with pytest.raises(RunPurged):
            do(journal, reserving(journal, manifest(1, run="run-1", batch="b-1")))
        do(journal, reserving(journal, manifest(1, run="run-1", batch="new")))
        second = do(journal, reserving(journal, manifest(1, run="forked", batch="third", lineage="response")))
        assert second.key == BatchKey("forked", "first")


def lose_row(root: Path) -> None:
    tamper(root, "DELETE FROM Cache WHERE key = 'b/run-5/b-1/00000002'")


def spoil_seal(root: Path) -> None:
    tamper(root, "UPDATE Cache SET value = substr(value, 1, 20) || x'00' WHERE key = 'b/run-5/b-1/#m'")


def lose_all_rows(root: Path) -> None:
    tamper(root, "DELETE FROM Cache WHERE key LIKE 'b/run-5/%'")


def lose_chunk(root: Path) -> None:
    assert tamper(root, "DELETE FROM Cache WHERE key LIKE 'b/big/%~%.00001'") == 2


def cut_chunk(root: Path) -> None:
    tamper(root, "UPDATE Cache SET value = substr(value, 1, 1000) WHERE key LIKE 'b/big/%~%.00001'")


def swap_chunks(root: Path) -> None:
    tamper(
        root,
        "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key LIKE 'b/big/%~%.00000' LIMIT 1)"
        " WHERE key LIKE 'b/big/%~%.00001'",
    )


@pytest.mark.parametrize(
    ("damage", "run"),
    [
        (lose_row, "run-5"),
        (spoil_seal, "run-5"),
        (lose_all_rows, "run-5"),
        (lose_chunk, "big"),
        (cut_chunk, "big"),
        (swap_chunks, "big"),
    ],
)
def test_a_damaged_batch_stays_out_is_named_and_never_runs_as_if_new(
    home: Path, target: Path, damage: Callable[[Path], object], run: str
) -> None:
    damage(home)
    assert not diagnose(home).sound
    report = salvage(home, target)
    (lost,) = report.lost
    assert f"batch {run}/b-1" in lost
    found = diagnose(target)
    assert found.sound
    assert len(found.of(FindingKind.LOST)) == 1
    with pytest.raises(JournalCorrupt, match="could not be salvaged"):
        resume(target, run)
    assert_resumes(target, "run-3")


def spoil_table(root: Path) -> None:
    spoil_page(root, pages(root, "Cache")[4])


def spoil_table_and_index(root: Path) -> None:
    spoil_page(root, pages(root, "Cache")[4])
    for number in pages(root, "Cache_key_raw"):
        spoil_page(root, number)


def double_a_page(root: Path) -> None:
    found = pages(root, "Cache")
    copy_page(root, found[2], found[4])


def spoil_header(root: Path) -> None:
    overwrite(database(root), 0, b"not a database at all")


def spoil_first_page(root: Path) -> None:
    spoil_page(root, 1)


def cut_short_file(root: Path) -> None:
    os.truncate(database(root), pages(root, "Cache")[8] * PAGE)


FILES = [spoil_table, spoil_table_and_index, double_a_page, spoil_header, spoil_first_page, cut_short_file]


def check_salvaged(home: Path, target: Path, report: SalvageReport) -> int:
    """Each run resumes with what was recorded, or is named as lost and refused; how many resumed."""
    lost = " ".join(report.lost)
    whole = 0
    with DiskJournal.open(target) as journal:  # kept open: opening it thirty times takes long
        listed = {key.run_id for key in journal.keys().result(10)}
        for run in set(RUNS) - {"run-1"}:
            if run in listed:
                assert f"{run}/" not in lost
                assert_resumes(target, run)
                whole += 1
            elif f"{run}/" in lost:
                with pytest.raises(JournalCorrupt):
                    resume(target, run)
            else:
                assert report.nameless, f"{run} was forgotten in silence"
    return whole


@pytest.mark.parametrize("damage", FILES, ids=lambda damage: damage.__name__)
def test_rows_are_read_around_damaged_pages(
    home: Path, target: Path, damage: Callable[[Path], object]
) -> None:
    damage(home)
    before = database(home).read_bytes()
    assert not diagnose(home).sound
    report = salvage(home, target)
    assert diagnose(target).sound, diagnose(target).problems
    whole = check_salvaged(home, target, report)
    assert whole == 29 if damage in (spoil_header, spoil_first_page) else 0 < whole < 29
    assert report.complete is (damage in (spoil_header, spoil_first_page))
    assert database(home).read_bytes() == before, "the damaged journal is only read"


def test_what_lies_in_the_log_of_a_killed_process_comes_over_too(root: Path, target: Path) -> None:
    cut_short(root, ["first", "second"])
    assert database(root).with_name("cache.db-wal").stat().st_size > 0
    assert salvage(root, target).complete
    assert_resumes(target, "second")
    assert_resumes(root, "second")


def test_a_purged_run_whose_tombstone_is_damaged_stays_purged(home: Path, target: Path) -> None:
    tamper(home, "UPDATE Cache SET value = x'00' WHERE key LIKE 't/run-1/%'")
    assert FindingKind.ROW in {finding.kind for finding in diagnose(home).findings}
    salvage(home, target)
    with DiskJournal.open(target) as journal, pytest.raises(RunPurged):
        do(journal, reserving(journal, manifest(1, run="run-1", batch="b-1")))


def test_a_lineage_is_made_anew_from_its_batch(home: Path, target: Path) -> None:
    tamper(home, "UPDATE Cache SET value = x'00' WHERE key LIKE 'l/forked/%'")
    assert salvage(home, target).complete
    with DiskJournal.open(target) as journal:
        made = do(journal, reserving(journal, manifest(1, run="forked", batch="third", lineage="response")))
        assert made.key == BatchKey("forked", "first")


def test_a_damaged_payload_of_a_run_is_named_and_refused(home: Path, target: Path) -> None:
    tamper(home, "UPDATE Cache SET value = x'00' WHERE key = 'p/paid/#p'")
    report = salvage(home, target)
    assert len(report.lost) == 1
    with DiskJournal.open(target) as journal, pytest.raises(JournalCorrupt):
        journal.run_payload("paid").result(10)


def test_a_salvaged_journal_can_be_salvaged_again_and_still_refuses(home: Path, target: Path) -> None:
    lose_row(home)
    salvage(home, target)
    again = target.with_name("again")
    report = salvage(target, again)
    assert len(report.lost) == 1
    with pytest.raises(JournalCorrupt, match="could not be salvaged"):
        resume(again, "run-5")


def test_purging_the_run_ends_a_lost_batch(home: Path, target: Path) -> None:
    lose_row(home)
    salvage(home, target)
    with DiskJournal.open(target) as journal:
        do(journal, Purge(run_id="run-5", at=0.0, why="looked it up"))
    assert not diagnose(target).of(FindingKind.LOST)


def test_an_open_journal_is_not_salvaged(home: Path, target: Path) -> None:
    with DiskJournal.open(home), pytest.raises(JournalBusy):
        salvage(home, target)
    assert not target.exists()


def test_a_directory_with_something_in_it_is_left_alone(home: Path, target: Path) -> None:
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(NotAJournal):
        salvage(home, target)
    assert [path.name for path in target.iterdir()] == ["notes.txt"]


def test_where_there_is_no_journal_nothing_is_made(tmp_path: Path, target: Path) -> None:
    with pytest.raises(JournalUnavailable):
        salvage(tmp_path / "none", target)
    assert not target.exists()


def test_of_a_database_that_is_gone_nothing_can_be_salvaged_and_nothing_is_made(
    home: Path, target: Path
) -> None:
    database(home).unlink()
    with pytest.raises(JournalCorrupt, match="restore a backup"):
        salvage(home, target)
    assert not target.exists()


def test_a_row_that_is_there_twice_with_two_values_is_not_chosen(home: Path, target: Path) -> None:
    name = "b/run-5/b-1/#f"
    with closing(sqlite3.connect(database(home))) as connection:
        sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'Cache_key_raw'").fetchone()[0]
        connection.execute("DROP INDEX Cache_key_raw")
        connection.execute(
            "INSERT INTO Cache(key, raw, mode, size, value) VALUES (?, 1, 1, 0, ?)", (name, seal(name, b"{}"))
        )
        connection.execute(sql.replace("UNIQUE ", ""))
        connection.commit()
    report = salvage(home, target)
    assert any("run-5/b-1" in lost for lost in report.lost)


@pytest.mark.parametrize("damaged", [True, False])
def test_commits_behind_a_damaged_part_of_the_log_are_told(root: Path, tmp_path: Path, damaged: bool) -> None:
    cut_short(root, ["run-0", "run-1"])
    log = log_of(root)
    if damaged:
        overwrite(log, log.stat().st_size // 2, b"\xa5" * 64)
    found = diagnose(root)
    assert bool(found.of(FindingKind.ENGINE)) is damaged
    assert found.sound is not damaged
    report = salvage(root, tmp_path / "salvaged")
    assert report.nameless is damaged
    assert any("is damaged, and" in note for note in report.notes) is damaged


def test_a_journal_whose_log_is_damaged_is_not_worked_on_as_if_nothing_had_been_recorded(root: Path) -> None:
    cut_short(root, ["run-0", "run-1"])
    log = log_of(root)
    overwrite(log, log.stat().st_size // 2, b"\xa5" * 64)
    before = log.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalCorrupt, match="salvage"):
            DiskJournal.open(root)
    assert log.read_bytes() == before
    with DiskJournal.open(
        root, durability="process"
    ) as journal:  # which may lose the newest commits at a power cut
        assert len(journal.keys().result(30)) < 2
