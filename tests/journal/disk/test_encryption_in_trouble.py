"""Encrypted journals that are damaged, repaired, salvaged, forked, or shared with somebody who has no key."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.apart import open_apart
from support.batches import database, manifest, reserving
from support.doctoring import diagnose, salvage
from support.examining import examined
from support.harness import batch
from support.leaks import leaks
from support.sickness import die_after, tamper
from toolslot import (
    BatchKey,
    DurableExecutor,
    Encryption,
    JournalCorrupt,
    JournalError,
    JournalKeyMissing,
    SlotState,
)
from toolslot.journal import DiskJournal, purge_older
from toolslot.journal._format._encryption import key_id
from toolslot.journal._queue._items import ReadItem
from toolslot.testing._worker import do

OLD, NEW = b"o" * 32, b"n" * 32
CANARY = "CANARY-7f3a9"
LOCK = "meta/encryption"


def encrypted(*keys: bytes) -> Encryption:
    return Encryption(keys or (OLD,))


def pay(journal: DiskJournal, run: str, tool: Callable[[int], object]) -> list[Any]:
    return DurableExecutor(journal).run_all(batch("pay", run=run), {"pay": tool})


def paid(root: Path, *keys: bytes, run: str = "run-1", value: object = CANARY) -> None:
    with DiskJournal.open(root, encryption=encrypted(*keys) if keys else None) as journal:
        pay(journal, run, lambda i: value)


def rows(root: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(database(root))) as connection:
        return dict(connection.execute("SELECT key, value FROM Cache").fetchall())


def test_the_key_of_digests_stays_known_while_the_database_is_opened_anew(root: Path) -> None:
    """A call that was planned just then would be recorded with a digest that says something of its arguments."""
    opened: list[DiskJournal] = []
    seen: list[bytes | None] = []

    def keys() -> list[bytes]:
        seen.extend(journal.digest_key for journal in opened)
        return [OLD]

    with DiskJournal.open(root, encryption=Encryption(keys)) as journal:
        opened.append(journal)
        item = ReadItem(lambda view: journal._session.live().writer._store.reconnect())
        journal._session.live().writer.put(item)
        with suppress(JournalError):
            item.future.result(30)
        assert seen == [journal.digest_key]
        assert journal.digest_key is not None


def test_whoever_has_no_key_while_another_turns_encryption_on_is_told_so(root: Path) -> None:
    """Not that the journal is damaged; and it runs nothing."""
    without = open_apart(root)
    looking = DiskJournal.open(root, read_only=True)
    paid(root, OLD)
    ran: list[int] = []
    try:
        with pytest.raises(JournalKeyMissing, match="Nothing was changed and nothing ran"):
            pay(without, "run-1", ran.append)
        found = looking.load(BatchKey("run-1", "b-1")).result()
        assert found is not None
        assert [slot.state for slot in found.slots] == [SlotState.SUCCEEDED]
    finally:
        without.close()
        looking.close()
    assert ran == []


def test_a_purge_by_age_keeps_what_it_has_no_key_for_and_goes_on(root: Path) -> None:
    paid(root, OLD, run="a")
    paid(root, NEW, OLD, run="b")
    with DiskJournal.open(root, encryption=encrypted(NEW)) as journal:
        found = purge_older(journal, 1, clock=lambda: time.time() + 100)
        assert found.purged == ("b",)
        ((kept, reason),) = found.kept
    assert kept == "a"
    assert key_id(OLD) in reason


def spoil_lock(root: Path) -> None:
    tamper(root, "UPDATE Cache SET value = zeroblob(9) WHERE key = 'meta/encryption'")


def lose_lock(root: Path) -> None:
    tamper(root, "DELETE FROM Cache WHERE key = 'meta/encryption'")


@pytest.mark.parametrize("damage", [spoil_lock, lose_lock])
def test_without_the_row_that_a_key_opens_a_salvage_names_what_is_lost(
    root: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    paid(root, run="plain")
    paid(root, OLD, run="secret")
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        do(journal, replace(reserving(journal, manifest(1, run="turn")), run_payload=b"turn"))
    damage(root)
    assert not diagnose(root, encrypted()).sound
    target = tmp_path / "salvaged"
    report = salvage(root, target)
    assert report.batches == 1
    assert not report.complete
    assert sum("secret" in text for text in report.lost) == 1
    assert sum("run's payload" in text for text in report.lost) == 1
    ran: list[int] = []
    with DiskJournal.open(target, encryption=encrypted()) as journal:
        assert pay(journal, "plain", ran.append) == [CANARY]
        with pytest.raises(JournalCorrupt, match="could not be salvaged"):
            pay(journal, "secret", ran.append)
    assert ran == []


def test_a_salvage_keeps_what_nobody_has_the_key_of_any_more(root: Path, tmp_path: Path) -> None:
    paid(root, OLD, run="a")
    paid(root, NEW, OLD, run="b")
    target = tmp_path / "salvaged"
    assert salvage(root, target).complete
    ran: list[int] = []
    with DiskJournal.open(target, encryption=encrypted(NEW)) as journal:
        assert pay(journal, "b", ran.append) == [CANARY]
        with pytest.raises(JournalKeyMissing):
            pay(journal, "a", ran.append)
    with DiskJournal.open(target, encryption=encrypted(NEW, OLD)) as journal:
        assert pay(journal, "a", ran.append) == [CANARY]
    assert ran == []
    assert leaks(target, CANARY) == []


def test_a_repair_needs_no_key_and_shows_nothing_that_needs_one(root: Path, tmp_path: Path) -> None:
    paid(root, OLD)
    paid(root, OLD, run="run-2", value=CANARY * 100_000)
    lock = rows(root)[LOCK]
    tamper(root, "DELETE FROM Cache WHERE key LIKE 'i/%'")
    wrong = {**os.environ, "TOOLSLOT_KEY": Encryption.new_key()}
    command = [sys.executable, "-m", "toolslot", "doctor", str(root), "--repair"]
    done = subprocess.run(command, env=wrong, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert rows(root)[LOCK] == lock
    (backup,) = tmp_path.glob("journal.backup-*")
    for directory in (root, backup):
        assert leaks(directory, CANARY) == []
        assert not directory.stat().st_mode & 0o77
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        assert pay(journal, "run-1", lambda i: "again") == [CANARY]
        assert examined(journal).sound


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_parent_and_forked_child_read_what_the_other_encrypted_and_share_no_nonce(root: Path) -> None:
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        pay(journal, "before", lambda i: CANARY)

        def child() -> None:
            pay(journal, "child", lambda i: CANARY)

        die_after(child)
        pay(journal, "parent", lambda i: CANARY)
        ran: list[int] = []
        for run in ("before", "child", "parent"):
            assert pay(journal, run, ran.append) == [CANARY]
    assert ran == []
    nonces = [nonce for value in rows(root).values() for nonce in re.findall(rb'"hidden":"([^"]{16})', value)]
    assert len(nonces) == len(set(nonces)) > 6
