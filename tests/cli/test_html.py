"""`toolslot html`. What the page shows is tested with the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.commands import CANNOT_RUN, NEEDS_DECISION, PROBLEM, command, said

pytestmark = pytest.mark.crash


def test_it_writes_the_timeline_of_the_run(dead: Path, tmp_path: Path) -> None:
    said(command("html", "order-17", "-o", tmp_path / "run.html", "--journal", dead), NEEDS_DECISION)
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "order-17" in page
    assert "receipt" not in page


def test_results_are_in_it_when_they_are_asked_for(dead: Path, tmp_path: Path) -> None:
    said(
        command("html", "order-17", "-o", tmp_path / "run.html", "--reveal", "--journal", dead),
        NEEDS_DECISION,
    )
    assert "receipt" in (tmp_path / "run.html").read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_named(dead: Path, tmp_path: Path) -> None:
    output = said(
        command("html", "order-17", "-o", tmp_path / "no" / "x.html", "--journal", dead), CANNOT_RUN
    )
    assert "x.html cannot be written: No such file or directory." in output


def test_a_run_that_is_not_there_writes_nothing(dead: Path, tmp_path: Path) -> None:
    said(command("html", "nobody", "-o", tmp_path / "x.html", "--journal", dead), PROBLEM)
    assert not (tmp_path / "x.html").exists()
