"""Examining a journal."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from support.batches import reserve
from support.examining import examined
from toolslot.journal import DiskJournal
from toolslot.journal._doctor import _check
from toolslot.journal._doctor._check import engine_loses_commits


def test_a_sound_journal_is_told_to_be_sound_while_it_is_written(journal: DiskJournal, root: Path) -> None:
    for number in range(3):
        reserve(journal, 2, batch=f"batch {number}").run(0, "x" * 300_000)
    report = examined(journal)
    assert report.sound
    assert (report.path, report.batches, report.rows) == (str(root), 3, 6)
    assert report.journal_id == (root / "commit.lock").read_text().strip()


def test_aliases_and_chunks_are_no_problem(journal: DiskJournal) -> None:
    worker = reserve(journal, 2, lineage="response")
    reserve(journal, 2, batch="fork", lineage="response")
    worker.run(0, "x" * 600_000)
    assert examined(journal).problems == ()


def test_a_sqlite_with_a_known_defect_is_noted_and_no_warning_is_given(
    journal: DiskJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve(journal)
    monkeypatch.setattr(_check, "engine_loses_commits", lambda _: True)
    assert any(sqlite3.sqlite_version in note for note in examined(journal).notes)
    monkeypatch.setattr(_check, "engine_loses_commits", lambda _: False)
    assert examined(journal).notes == ()


@pytest.mark.parametrize(
    ("version", "defect"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 54, 1), False),
    ],
)
def test_which_versions_of_sqlite_have_the_defect(version: tuple[int, int, int], defect: bool) -> None:
    assert engine_loses_commits(version) is defect
