"""What `toolslot doctor` says of a journal's surroundings: whose it is, where it lies, and what others left there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from support.batches import database, reserve
from support.doctoring import FindingKind, Remedy, diagnose, remedy
from toolslot._errors import JournalUnavailable, NotAJournal
from toolslot.journal import DiskJournal
from toolslot.journal._doctor import _surroundings


@pytest.fixture
def home(root: Path) -> Path:
    with DiskJournal.open(root) as journal:
        reserve(journal).run(0)
    return root


def found(home: Path) -> set[FindingKind]:
    return {finding.kind for finding in diagnose(home).findings} - {FindingKind.ENGINE_DEFECT}


def test_nothing_is_found_at_a_journal_that_is_well(home: Path) -> None:
    assert found(home) <= {FindingKind.VOLATILE}


def test_a_network_file_system_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_surroundings, "type_of", lambda _: "nfs4")
    report = diagnose(home)
    assert "lies on a nfs4 file system" in " ".join(report.problems)


def test_a_file_system_that_nobody_can_vouch_for_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_surroundings, "type_of", lambda _: "virtiofs")
    assert FindingKind.DOUBTFUL_LOCKS in found(home)
    assert diagnose(home).problems == ()


def test_a_disk_in_memory_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_surroundings, "type_of", lambda _: "tmpfs")
    assert FindingKind.VOLATILE in found(home)


def test_little_room_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(_surroundings.shutil, "disk_usage", lambda _: Usage(free=2**20))
    (text,) = [finding.text for finding in diagnose(home).of(FindingKind.LITTLE_ROOM)]
    assert "1 MiB are free" in text


@pytest.mark.parametrize("part", ["", "db", "db/cache.db", "owners"])
def test_what_others_can_write_is_named_with_the_command_that_ends_it(home: Path, part: str) -> None:
    path = home / part
    path.chmod(path.stat().st_mode | 0o022)
    assert f"chmod go-w {path}" in " ".join(diagnose(home).problems)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_named(home: Path) -> None:
    os.chown(database(home), 65534, 65534)
    assert FindingKind.UNSAFE in found(home)


@pytest.mark.parametrize("damage", ["emptied", "deleted", "its directory deleted"])
def test_a_database_that_is_gone_is_named_and_a_backup_is_what_helps(home: Path, damage: str) -> None:
    if damage == "emptied":
        os.truncate(database(home), 0)
    elif damage == "deleted":
        database(home).unlink()
    else:
        shutil.rmtree(home / "db")
    (finding,) = diagnose(home).of(FindingKind.REPLACED)
    assert remedy(finding.kind) is Remedy.RESTORE
    assert "backup" in finding.text


def test_another_programs_database_in_its_place_is_named(home: Path, tmp_path: Path) -> None:
    import sqlite3

    sqlite3.connect(tmp_path / "other").executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)").close()
    shutil.copy(tmp_path / "other", database(home))
    assert FindingKind.REPLACED in found(home)


def test_where_no_journal_was_there_is_nothing_to_examine(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable):
        diagnose(tmp_path / "none")
    (tmp_path / "other").mkdir()
    with pytest.raises((JournalUnavailable, NotAJournal)):
        diagnose(tmp_path / "other")


def test_every_kind_has_a_remedy() -> None:
    assert {remedy(kind) for kind in FindingKind} == set(Remedy)
