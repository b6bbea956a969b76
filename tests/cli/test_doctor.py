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
    assert "1 batches" in result.output
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
