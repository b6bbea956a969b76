"""`toolslot runs`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.commands import NEEDS_DECISION, OK, answer, command, killed, said
from toolslot import DiskJournal

pytestmark = pytest.mark.crash


def test_a_run_is_one_line_with_its_state_and_what_there_is_to_decide(dead: Path) -> None:
    heading, line = said(command("runs", "--journal", dead)).splitlines()
    assert "to decide" in heading
    assert line.split()[:2] == ["order-17", "unknown"]
    assert "4S 2U" in line


def test_the_newest_is_first_and_a_limit_holds_unless_all_are_asked_for(folder: Path) -> None:
    for name in ("b", "c"):
        killed(folder, "--run", name)
    where = ("--journal", folder / "journal")
    assert [run["run_id"] for run in answer(command("runs", "--json", *where))] == ["c", "b", "order-17"]
    assert [run["run_id"] for run in answer(command("runs", "--limit", 1, "--json", *where))] == ["c"]
    assert len(answer(command("runs", "--limit", 1, "--all", "--json", *where))) == 3


def test_the_limit_counts_what_matches_the_filter(folder: Path) -> None:
    killed(folder, "--run", "newer", "--calls", "1", hang="0")
    said(command("abandon", "newer", "--why", "superseded", "--journal", folder / "journal"))
    found = answer(
        command("runs", "--state", "unknown", "--limit", 1, "--json", "--journal", folder / "journal")
    )
    assert [run["run_id"] for run in found] == ["order-17"]


def test_asked_for_decisions_the_exit_code_tells_whether_there_are_any(folder: Path) -> None:
    where = ("--journal", folder / "journal")
    said(command("runs", "--needs-decision", *where), NEEDS_DECISION)
    said(command("runs", *where), OK)
    said(command("abandon", "order-17", "--why", "test", *where))
    said(command("runs", "--needs-decision", *where), OK)


def test_without_a_run_it_says_whether_there_is_none_or_none_of_those_asked_for(tmp_path: Path) -> None:
    with DiskJournal.open(tmp_path / "empty"):
        pass
    empty = command("runs", "--journal", tmp_path / "empty")
    assert said(empty).startswith("no run in ")
    narrowed = command("runs", "--needs-decision", "--journal", tmp_path / "empty")
    assert said(narrowed).startswith("no such run in ")
