"""`toolslot purge`."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import Result

from cli.commands import CANNOT_RUN, PROBLEM, agent, command, said
from support.harness import batch
from toolslot import DiskJournal, DurableExecutor, RunPurged


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A journal with one finished run."""
    path = tmp_path / "journal"
    with DiskJournal.open(path) as journal:
        DurableExecutor(journal).run_all(batch("t", run="done"), {"t": lambda i: i})
    return path


def purge(home: Path, *args: object) -> Result:
    return command("purge", *args, "--journal", home)


def runs(home: Path) -> list[str]:
    return [run["run_id"] for run in json.loads(command("runs", "--json", "--journal", home).stdout)]


def test_a_finished_run_is_forgotten_by_name(home: Path) -> None:
    assert "1 batch, 1 call" in said(purge(home, "done"))
    assert runs(home) == []


def test_a_dry_run_changes_nothing(home: Path) -> None:
    assert "would go" in said(purge(home, "done", "--dry-run"))
    time.sleep(0.01)
    assert "1 would be purged" in said(purge(home, "--older", "0.001s", "--dry-run"))
    assert runs(home) == ["done"]


def test_what_is_old_enough_is_forgotten_and_what_is_not_stays(home: Path) -> None:
    assert "0 purged, 0 older than 30 d" in said(purge(home, "--older", "30d"))
    assert runs(home) == ["done"]
    time.sleep(0.01)
    assert "1 purged" in said(purge(home, "--older", "0.001s"))
    assert runs(home) == []


@pytest.mark.crash
def test_an_unfinished_run_is_forgotten_by_force_only(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    with agent(tmp_path, "--calls", "1", "--hang", "0") as child:
        child.await_line("HANGING")
        assert "which is or may be alive" in said(purge(home, "order-17", "--force"), PROBLEM)
        child.kill()
    assert "1 of its calls need a decision" in said(purge(home, "order-17"), PROBLEM)
    assert "is unfinished" in said(purge(home, "--older", "0.001s"))
    assert runs(home) == ["order-17"]
    said(purge(home, "order-17", "--force"))
    assert runs(home) == []


def test_a_forgotten_run_is_refused(home: Path) -> None:
    said(purge(home, "done"))
    with DiskJournal.open(home) as journal, pytest.raises(RunPurged):
        DurableExecutor(journal).run_all(batch("t", run="done"), {"t": lambda i: i})


@pytest.mark.parametrize("age", ["30", "d", "-1d", "0d", "soon"])
def test_an_age_that_means_nothing_is_refused(age: str, home: Path) -> None:
    assert "such as 30d" in said(purge(home, f"--older={age}"), CANNOT_RUN)


@pytest.mark.parametrize("args", [(), ("done", "--older", "1d")])
def test_a_run_or_an_age_is_named_never_both(args: tuple[str, ...], home: Path) -> None:
    said(purge(home, *args), CANNOT_RUN)


def test_where_there_is_no_journal_none_is_made(tmp_path: Path) -> None:
    said(purge(tmp_path / "none", "--older", "1d"), CANNOT_RUN)
    said(purge(tmp_path / "none", "run"), CANNOT_RUN)
    assert list(tmp_path.iterdir()) == []
