"""`toolslot doctor`: what it finds, what it returns, and that it changes nothing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.harness import batch
from toolslot import DiskJournal, DurableExecutor
from toolslot.cli import cli


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    with DiskJournal.open(path) as journal:
        DurableExecutor(journal).run_all(batch("t", "t"), {"t": lambda i: i})
    return path


def doctor(*args: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *args])


def test_a_sound_journal_is_said_to_be_sound(home: Path) -> None:
    result = doctor(str(home))
    assert result.exit_code == 0, result.output
    assert "1 batch," in result.output
    assert result.output.rstrip().endswith("sound")


def test_a_damaged_journal_is_named_and_the_exit_code_tells_it(home: Path) -> None:
    with sqlite3.connect(home / "db" / "cache.db") as database:
        database.execute("DELETE FROM Cache WHERE key GLOB 'b/*/[0-9]*'")
    database.close()
    result = doctor(str(home), "--json")
    assert result.exit_code == 1
    assert json.loads(result.output)["problems"]


def test_a_journal_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    result = doctor(str(tmp_path / "none"))
    assert result.exit_code == 3
    assert "none" in result.output
    assert not (tmp_path / "none").exists()


def test_it_looks_where_toolslot_home_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLSLOT_HOME", str(home))
    assert doctor().exit_code == 0


def test_it_examines_a_journal_that_is_being_worked_on(home: Path) -> None:
    with DiskJournal.open(home) as journal, DurableExecutor(journal).open(batch("t", run="busy")):
        assert doctor(str(home)).exit_code == 0


def unlist(home: Path) -> None:
    with sqlite3.connect(home / "db" / "cache.db") as database:
        database.execute("DELETE FROM Cache WHERE key GLOB 'i/*'")
    database.close()


def test_it_says_what_helps_repairs_and_says_what_it_did(home: Path) -> None:
    unlist(home)
    result = doctor(str(home))
    assert result.exit_code == 1
    assert "`toolslot doctor --repair` mends: unlisted" in result.output
    result = doctor(str(home), "--repair")
    assert result.exit_code == 0, result.output
    assert "repaired put batch run-1/b-1 into the list of batches again" in result.output
    assert f"as it was before: {home}.backup-1" in result.output
    assert doctor(str(home)).exit_code == 0
    assert doctor(f"{home}.backup-1").exit_code == 1


def test_what_it_says_for_programs_has_a_kind_and_a_remedy_for_everything(home: Path) -> None:
    unlist(home)
    (finding,) = [
        found for found in json.loads(doctor(str(home), "--json").output)["findings"] if found["damage"]
    ]
    assert (finding["kind"], finding["remedy"]) == ("unlisted", "repair")
    repaired = json.loads(doctor(str(home), "--repair", "--json").output)
    assert repaired["after"]["sound"]
    assert not repaired["before"]["sound"]
    assert len(repaired["repaired"]) == 1
    assert json.loads(doctor(str(home), "--json").output)["settings"]["sqlite_synchronous"] == 2


def test_it_salvages_into_a_new_journal_and_lists_what_was_lost(home: Path, tmp_path: Path) -> None:
    result = doctor(str(home), "--salvage", str(tmp_path / "whole"))
    assert result.exit_code == 0, result.output
    assert "nothing was lost" in result.output
    with sqlite3.connect(home / "db" / "cache.db") as database:
        database.execute("DELETE FROM Cache WHERE key GLOB 'b/*/[0-9]*'")
    database.close()
    assert "--salvage DIR` brings what is sound into a new journal: batch" in doctor(str(home)).output
    result = doctor(str(home), "--salvage", str(tmp_path / "part"))
    assert result.exit_code == 1
    assert "LOST     batch run-1/b-1 is lost" in result.output
    assert json.loads(doctor(str(home), "--salvage", str(tmp_path / "again"), "--json").output)["lost"]


def test_repair_and_salvage_at_once_are_refused(home: Path, tmp_path: Path) -> None:
    result = doctor(str(home), "--repair", "--salvage", str(tmp_path / "new"))
    assert result.exit_code == 3
    assert not (tmp_path / "new").exists()


def test_it_tells_who_can_read_the_journal_and_who_died_with_it(home: Path) -> None:
    home.chmod(0o755)
    (home / "owners" / "dead.lock").touch(0o600)
    result = doctor(str(home))
    assert result.exit_code == 0, result.output
    assert "mode 0755: other users may read" in result.output
    assert "1 processes ended without closing the journal" in result.output
