"""Journals written by other versions: old files stay readable, newer ones are refused, and an older format is migrated after a copy."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from support.apart import open_apart
from support.batches import database, manifest, reserve, reserving
from support.doctoring import FindingKind, diagnose, seal
from support.examining import examined
from support.sickness import tamper
from toolslot import BatchKey, BatchMismatch, RunPurged
from toolslot._domain._slot import SlotState
from toolslot._errors import JournalBusy, JournalCorrupt, JournalTooNew, JournalTooOld, JournalUnsafe
from toolslot.journal import DiskJournal, Release
from toolslot.journal._disk import _migrations, _opening
from toolslot.journal._disk._migrations import Migration
from toolslot.testing._worker import do

FORMATS = sorted((Path(__file__).parent / "formats").glob("format-*"))
FIRST = BatchKey("order 17/ä", "first")
#: the format that this version writes, and one that a later one might
NOW = _opening.SCHEMA
NEXT = NOW + 1


def take(written: Path, root: Path) -> Path:
    """A copy of a kept file, as its owner would have it."""
    shutil.copytree(written, root)
    for path in (root, *root.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return root


@pytest.fixture
def old(root: Path) -> Path:
    return take(FORMATS[-1], root)


@pytest.mark.parametrize("written", FORMATS, ids=lambda path: path.name)
def test_a_journal_of_every_format_that_was_released_opens(root: Path, written: Path) -> None:
    take(written, root)
    assert diagnose(root).problems == ()
    with DiskJournal.open(root) as journal:
        record = journal.load(FIRST).result(10)
        assert record is not None
        assert [slot.state for slot in record.slots] == [
            SlotState.SUCCEEDED,
            SlotState.FAILED,
            SlotState.RESERVED,
            SlotState.WAITING,
            SlotState.SUCCEEDED,
            *[SlotState.RESERVED] * 2,
            SlotState.SUCCEEDED,
            SlotState.UNKNOWN,
            SlotState.RESERVED,
        ]
        assert record.slots[0].outcome is not None
        assert record.slots[0].outcome.data == b"paid"
        assert record.slots[1].error is not None
        assert record.slots[1].error.type_name == "bank.Declined"
        assert record.slots[6].generation == 2
        assert record.slots[7].outcome is not None
        assert len(record.slots[7].outcome.data) == 270_000
        fork = journal.load(BatchKey("order 17/ä", "fork")).result(10)
        assert fork is not None
        assert fork.manifest.key == FIRST
        assert journal.run_payload("turns").result(10) == b"turn record"
        assert BatchKey("r" * 300, "b" * 300) in journal.keys().result(10)
        with pytest.raises(RunPurged):
            do(journal, reserving(journal, manifest(2, run="forgotten")))


@pytest.mark.parametrize("written", FORMATS, ids=lambda path: path.name)
def test_work_goes_on_in_a_journal_of_every_format(root: Path, written: Path) -> None:
    take(written, root)
    with DiskJournal.open(root) as journal:
        record = journal.load(FIRST).result(10)
        assert record is not None
        worker = reserve(journal, 1, run="new").succeed(journal, record.fence.owner)
        worker.run(0)
        assert examined(journal).sound


def add_greeting(connection: sqlite3.Connection) -> None:
    """Something that only the new format has."""
    connection.execute(
        "INSERT INTO Cache(key, raw, access_count, size, mode, value) VALUES ('greeting', 1, 0, 0, 1, x'00')"
    )


GREET = Migration(name="every journal greets", to=NEXT, apply=add_greeting)


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This version writes the next format, and knows the way there."""
    monkeypatch.setattr(_opening, "SCHEMA", NEXT)
    monkeypatch.setattr(_migrations, "MIGRATIONS", (GREET,))
    return monkeypatch


def format_of(root: Path) -> tuple[int, bool]:
    with closing(sqlite3.connect(database(root))) as connection:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
        greets = connection.execute("SELECT 1 FROM Cache WHERE key = 'greeting'").fetchone()
    return number, greets is not None


def test_an_older_format_is_migrated_at_opening_after_a_copy_was_made(
    old: Path, newer: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "toolslot")
    with DiskJournal.open(old) as journal:
        assert journal.load(FIRST).result(10)
        reserve(journal, 1, run="new").run(0)
    assert format_of(old) == (NEXT, True)
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"from format {NOW} to {NEXT} (every journal greets)" in message
    copy = Path(f"{old}.backup-1")
    assert str(copy) in message
    assert format_of(copy) == (NOW, False)
    with DiskJournal.open(old):
        pass
    assert not Path(f"{old}.backup-2").exists(), "it is done once"
    newer.undo()
    assert diagnose(copy).sound
    with DiskJournal.open(copy) as journal:
        assert journal.load(FIRST).result(10)
    with pytest.raises(JournalTooNew, match="upgrade toolslot"):
        DiskJournal.open(old)


@pytest.mark.parametrize(
    "error", [JournalCorrupt("a row makes no sense"), sqlite3.DatabaseError("malformed")]
)
def test_a_migration_that_fails_leaves_the_old_format_whole(
    old: Path, newer: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        add_greeting(connection)
        raise error

    newer.setattr(_migrations, "MIGRATIONS", (Migration(name="fails", to=NEXT, apply=fail),))
    with pytest.raises(JournalCorrupt):
        DiskJournal.open(old)
    assert format_of(old) == (NOW, False)


def test_a_process_killed_while_it_migrates_leaves_the_old_format_whole_and_the_next_one_migrates(
    old: Path, newer: pytest.MonkeyPatch
) -> None:
    def die(connection: sqlite3.Connection) -> None:
        add_greeting(connection)
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        _migrations.MIGRATIONS = (Migration(name="dies", to=NEXT, apply=die),)
        DiskJournal.open(old)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert format_of(old) == (NOW, False)
    with DiskJournal.open(old) as journal:
        assert journal.load(FIRST).result(10)
    assert format_of(old) == (NEXT, True)


def test_while_a_process_has_it_open_it_is_not_migrated(old: Path, newer: pytest.MonkeyPatch) -> None:
    newer.undo()
    with DiskJournal.open(old):
        newer.setattr(_opening, "SCHEMA", NEXT)
        newer.setattr(_migrations, "MIGRATIONS", (GREET,))
        with pytest.raises(JournalBusy, match="1 processes have the journal"):
            open_apart(old)
    assert format_of(old) == (NOW, False)


def test_a_format_from_which_no_way_is_known_is_refused_unchanged(
    old: Path, newer: pytest.MonkeyPatch
) -> None:
    tamper(old, "PRAGMA user_version=0")
    before = database(old).read_bytes()
    with pytest.raises(JournalTooOld, match="format 0"):
        DiskJournal.open(old)
    assert database(old).read_bytes() == before


def test_a_reader_does_not_migrate_and_says_who_does(old: Path, newer: pytest.MonkeyPatch) -> None:
    with pytest.raises(JournalTooOld, match="open it for writing once"):
        DiskJournal.open(old, read_only=True)
    report = diagnose(old)
    assert report.sound
    assert report.of(FindingKind.OLD_FORMAT)
    assert format_of(old) == (NOW, False)


def test_what_was_planted_in_an_old_journal_does_not_run_in_its_migration(
    old: Path, newer: pytest.MonkeyPatch
) -> None:
    tamper(old, "CREATE TRIGGER trap AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END")
    with pytest.raises(JournalUnsafe, match="trap"):
        DiskJournal.open(old)
    assert format_of(old) == (NOW, False)


def test_the_steps_lead_from_the_first_format_to_this_versions() -> None:
    assert [step.to for step in _migrations.MIGRATIONS] == list(range(2, _opening.SCHEMA + 1))
    assert [path.name for path in FORMATS] == [f"format-{n}" for n in range(1, _opening.SCHEMA + 1)]


def test_a_newer_format_is_named_by_the_doctor(old: Path) -> None:
    tamper(old, f"PRAGMA user_version={NEXT}")
    report = diagnose(old)
    assert [finding.kind for finding in report.findings if finding.damage] == [FindingKind.TOO_NEW]
    assert "upgrade toolslot" in report.problems[0]


# --- from format 1: what a purge forgot, and the names of batches ---------------------------------------------------------


@pytest.fixture
def first_format(root: Path) -> Path:
    return take(FORMATS[0], root)


def test_a_run_that_was_purged_in_format_1_is_refused_for_ever(first_format: Path) -> None:
    """It is not known any more which batches it had."""
    with DiskJournal.open(first_format) as journal, pytest.raises(RunPurged):
        do(journal, reserving(journal, manifest(2, run="forgotten", batch="later")))
    assert diagnose(first_format).sound


def test_a_purge_that_was_interrupted_in_format_1_is_finished(first_format: Path) -> None:
    mark = seal("d/turns", b'{"run_id":"turns"}')
    tamper(
        first_format, "INSERT INTO Cache(key, raw, mode, value, size) VALUES ('d/turns', 1, 1, ?, 0)", mark
    )
    tombstone = seal("t/turns", b'{"run_id":"turns","at":1.0,"why":""}')
    tamper(
        first_format,
        "INSERT INTO Cache(key, raw, mode, value, size) VALUES ('t/turns', 1, 1, ?, 0)",
        tombstone,
    )
    with DiskJournal.open(first_format) as journal:
        assert journal.keys("turns").result(10) == ()
        assert journal.run_payload("turns").result(10) is None
        with pytest.raises(RunPurged):
            do(journal, reserving(journal, manifest(1, run="turns", batch="2")))
    assert diagnose(first_format).sound


@pytest.mark.parametrize(
    ("former", "calls", "refused"),
    [("first", 10, True), ("elsewhere", 10, True), ("first", 9, False), (None, 10, False)],
    ids=["its place", "another place", "other calls", "a host that kept its names"],
)
def test_a_batch_in_flight_from_format_1_is_never_run_as_a_new_one(
    first_format: Path, former: str | None, calls: int, refused: bool
) -> None:
    with DiskJournal.open(first_format) as journal:
        new = manifest(calls, run="order 17/ä", batch="by a new rule")
        operation = replace(reserving(journal, new), former=former)
        if refused:
            with pytest.raises(BatchMismatch, match="toolslot abandon"):
                do(journal, operation)
        else:
            assert do(journal, operation).fresh
        assert journal.load(FIRST).result(10)


@pytest.mark.parametrize(("former", "refused"), [("1", True), ("7", False)])
def test_one_that_is_closed_is_refused_at_its_own_place_only(
    first_format: Path, former: str, refused: bool
) -> None:
    """Its answers may have been lost to the host there; elsewhere it is time travel."""
    with DiskJournal.open(first_format) as journal:
        key = BatchKey("turns", "1")
        record = journal.load(key).result(10)
        assert record is not None
        do(journal, Release(key=key, epoch=record.fence.epoch, closed=True))
        operation = replace(reserving(journal, manifest(1, run="turns", batch="new")), former=former)
        if refused:
            with pytest.raises(BatchMismatch):
                do(journal, operation)
        else:
            assert do(journal, operation).fresh
