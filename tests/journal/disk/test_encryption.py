"""Payloads at rest: nothing of them is in the files, they are bound to their places, and keys can be changed."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.apart import open_apart
from support.batches import database, reserve
from support.doctoring import diagnose, salvage, seal, unseal
from support.examining import examined
from support.harness import batch
from support.leaks import leaks
from toolslot import (
    Batch,
    BatchKey,
    BatchMismatch,
    Call,
    DurableExecutor,
    Encryption,
    InvalidSetting,
    JournalCorrupt,
    JournalKeyMissing,
    SlotState,
    UnreadablePayload,
)
from toolslot._codec import HIDDEN, encode_error
from toolslot._domain._slot import Verdict
from toolslot.journal import Adopt, Decide, DiskJournal, Journal, Purge, TakeOver, open_journal
from toolslot.journal._format._encryption import key_id
from toolslot.testing._decisions import DecisionContract
from toolslot.testing._history import HistoryContract
from toolslot.testing._worker import do

OLD, NEW = b"o" * 32, b"n" * 32
CANARY = "CANARY-7f3a9"
KEY = BatchKey("run-1", "b-1")


def encrypted(*keys: bytes) -> Encryption:
    return Encryption(keys or (OLD,))


def executor(journal: DiskJournal, **settings: Any) -> DurableExecutor:
    return DurableExecutor(journal, **settings)


def tampered(root: Path, key: str, change: Any) -> None:
    """Change a row, with a checksum that fits."""
    with closing(sqlite3.connect(database(root))) as connection, connection:
        (value,) = connection.execute("SELECT value FROM Cache WHERE key = ?", (key,)).fetchone()
        body = change(json.loads(unseal(key, value)))
        connection.execute(
            "UPDATE Cache SET value = ? WHERE key = ?", (seal(key, json.dumps(body).encode()), key)
        )


def rows(root: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database(root))) as connection:
        return connection.execute("SELECT key, value FROM Cache ORDER BY key").fetchall()


def paid(root: Path, *keys: bytes, run: str = "run-1", value: object = CANARY) -> None:
    with DiskJournal.open(root, encryption=encrypted(*keys) if keys else None) as journal:
        executor(journal).run_all(batch("pay", run=run), {"pay": lambda i: value})


def test_nothing_of_a_payload_is_in_the_files_before_and_after_closing_and_purging(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [
        f"{CANARY}-{what}" for what in ("arg", "result", "large", "error", "why", "batch", "run", "text")
    ]
    arg, result, large, failure, why, of_batch, of_run, lossy = secrets
    tools = {
        "pay": lambda note: result,
        "report": lambda note: [large] * 100_000,
        "odd": lambda note: type("Odd", (), {"__repr__": lambda self: lossy})(),
        "fail": lambda note: (_ for _ in ()).throw(ValueError(failure)),
    }
    made = Batch(
        run_id="run-1",
        batch_id="b-1",
        calls=[Call(tool=tool, args={"note": arg}) for tool in tools],
        payload=of_batch.encode(),
        run_payload=of_run.encode(),
    )
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        outcomes = executor(journal).run_all(made, tools, return_exceptions=True)
        assert outcomes[0] == result
        assert leaks(root, *secrets) == []  # the write-ahead log is there still
        worker = reserve(journal, run="run-2")
        worker.doubt(0)
        record = worker.record()
        do(
            journal,
            Decide(
                key=worker.key,
                index=0,
                verdict=Verdict.FAILED,
                by="ada",
                why=why,
                decision_id="d",
                version=record.slots[0].version,
                at=1.0,
                error=encode_error(ValueError(failure)),
            ),
        )
        taken = TakeOver(
            key=worker.key, owner=worker.owner, expected_epoch=record.fence.epoch, at=2.0, why=why
        )
        do(journal, taken)
    assert leaks(root, *secrets) == []
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        again = executor(journal, lossy_replay=True).run_all(made, tools, return_exceptions=True)
        assert again[:3] == [result, [large] * 100_000, lossy]
        found = journal.load(worker.key).result(10)
        assert found is not None
        assert found.slots[0].decision is not None
        assert (found.slots[0].decision.why, found.tenures[-1].why) == (why, why)
        assert journal.run_payload("run-1").result(10) == of_run.encode()
        do(journal, Purge(run_id="run-1", at=3.0, why=why))
        assert leaks(root, *secrets) == []
    assert leaks(root, *secrets) == []
    assert CANARY not in caplog.text


def test_the_search_for_leaks_finds_them_in_a_plain_journal(root: Path) -> None:
    paid(root)
    assert leaks(root, CANARY)


def test_digests_of_arguments_say_nothing_without_the_key(root: Path, tmp_path: Path) -> None:
    """The same few arguments, the same key, two journals: a guess cannot be checked against either."""
    from toolslot._domain._identity import args_digest

    plain = args_digest("pay", {"i": 0})
    found = set()
    for where in (root, tmp_path / "other"):
        paid(where, OLD)
        with DiskJournal.open(where, encryption=encrypted()) as journal:
            record = journal.load(KEY).result(10)
            assert record is not None
            found.add(record.slots[0].spec.digest)
    assert len(found | {plain}) == 3


def test_without_the_key_states_are_seen_and_payloads_are_not(root: Path) -> None:
    paid(root, OLD)
    with DiskJournal.open(root, read_only=True) as journal:
        record = journal.load(KEY).result(10)
        assert record is not None
        (slot,) = record.slots
        assert (slot.spec.tool, slot.state) == ("pay", SlotState.SUCCEEDED)
        assert slot.outcome is not None
        assert (slot.outcome.codec, slot.outcome.data, slot.spec.args.codec) == (HIDDEN, b"", HIDDEN)
        report = examined(journal)
        assert report.sound
        assert any("was not given" in note for note in report.notes)
        from toolslot._codec import decode

        with pytest.raises(UnreadablePayload, match="TOOLSLOT_KEY"):
            decode(slot.outcome, {})


@pytest.mark.parametrize("keys", [(), (NEW,)])
def test_without_the_right_key_nothing_is_written_and_nothing_runs(
    root: Path, keys: tuple[bytes, ...]
) -> None:
    paid(root, OLD)
    before = rows(root)
    with pytest.raises(JournalKeyMissing, match=key_id(OLD)[:16]):
        paid(root, *keys)
    assert rows(root) == before
    ran: list[int] = []
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        assert executor(journal).run_all(batch("pay"), {"pay": ran.append}) == [CANARY]
    assert ran == []


def test_a_plain_journal_goes_on_encrypted_and_resumes_what_was_recorded_before(root: Path) -> None:
    paid(root)
    with DiskJournal.open(root) as journal:
        open_batch = Batch(run_id="run-1", batch_id="fork", calls=batch("pay", "pay").calls, lineage="answer")
        with executor(journal).open(open_batch) as run:
            assert run.call(0, lambda: "first") == "first"
    ran: list[int] = []
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        ex = executor(journal)
        assert ex.run_all(batch("pay"), {"pay": ran.append}) == [CANARY]
        # a fork of the unfinished batch finds it again, although digests are made in another way now
        forked = Batch(run_id="run-1", batch_id="fork-2", calls=open_batch.calls, lineage="answer")
        with ex.open(forked, adopt=Adopt.UNFINISHED) as run:
            assert run.call(0, lambda: ran.append(0) or "again") == "first"
            assert run.call(1, lambda: f"{CANARY}-2") == f"{CANARY}-2"
        report = examined(journal)
        assert report.sound
        assert any("not encrypted" in note for note in report.notes)
        with pytest.raises(BatchMismatch):
            ex.run_all(batch("pay", args={"i": 9}), {"pay": ran.append})
    assert ran == []
    assert leaks(root, CANARY)
    assert not leaks(root, f"{CANARY}-2")


def test_a_new_key_encrypts_from_now_on_and_the_old_one_reads_what_it_wrote(root: Path) -> None:
    paid(root, OLD)
    paid(root, NEW, OLD, run="run-2")
    ran: list[int] = []
    for keys in ((NEW, OLD), (NEW, OLD)):
        with DiskJournal.open(root, encryption=encrypted(*keys)) as journal:
            for run in ("run-1", "run-2"):
                assert executor(journal).run_all(batch("pay", run=run), {"pay": ran.append}) == [CANARY]
            assert any(f"older key '{key_id(OLD)[:16]}'" in note for note in examined(journal).notes)
    with DiskJournal.open(root, encryption=encrypted(NEW)) as journal:
        assert executor(journal).run_all(batch("pay", run="run-2"), {"pay": ran.append}) == [CANARY]
        with pytest.raises(JournalKeyMissing, match=key_id(OLD)[:16]):
            executor(journal).run_all(batch("pay", run="run-1"), {"pay": ran.append})
        do(journal, Purge(run_id="run-1", at=1.0, why="over"))
        assert not any("older key" in note for note in examined(journal).notes)
    assert ran == []
    with pytest.raises(JournalKeyMissing):
        DiskJournal.open(root, encryption=encrypted(OLD))


def test_a_value_that_was_moved_to_another_place_is_refused(root: Path) -> None:
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        for run in ("run-1", "run-2"):
            executor(journal).run_all(batch("pay", "pay", run=run), {"pay": lambda i, run=run: f"{run} {i}"})
    grabbed: list[Any] = []
    with closing(sqlite3.connect(database(root))) as connection:
        names = [
            n
            for (n,) in connection.execute(
                "SELECT key FROM Cache WHERE key LIKE 'b/run-%/b-1/0%' ORDER BY key"
            )
        ]

    def grab(body: Any) -> Any:
        grabbed.extend(row["outcome"] for row in body if row.get("outcome"))
        return body

    for each in names:
        if each.startswith("b/run-2/"):
            tampered(root, each, grab)

    def plant(body: Any) -> Any:
        return [{**row, "outcome": grabbed[0]} if row.get("outcome") else row for row in body]

    for each in names:
        if each.startswith("b/run-1/"):
            tampered(root, each, plant)
    ran: list[int] = []
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        with pytest.raises(JournalCorrupt, match="moved from another place"):
            executor(journal).run_all(batch("pay", "pay"), {"pay": ran.append})
        assert not examined(journal).sound
        assert executor(journal).run_all(batch("pay", "pay", run="run-2"), {"pay": ran.append})
    assert ran == []


def test_a_forged_result_that_is_not_encrypted_is_refused_where_everything_is(root: Path) -> None:
    paid(root, OLD)

    def forge(body: Any) -> Any:
        forged = {"codec": "tagged-json/1", "text": "sforged"}
        return [{**row, "outcome": forged} if row.get("outcome") else row for row in body]

    for number in (1, 2):
        try:
            tampered(root, f"b/run-1/b-1/{number:08}", forge)
        except TypeError:
            continue
    with (
        DiskJournal.open(root, encryption=encrypted()) as journal,
        pytest.raises(JournalCorrupt, match="not encrypted"),
    ):
        journal.load(KEY).result(10)


def test_the_claim_that_a_journal_held_plain_values_before_cannot_be_forged(root: Path) -> None:
    paid(root, OLD)
    tampered(root, "meta/encryption", lambda body: {**body, "plain": True})
    with pytest.raises(JournalCorrupt, match="was changed"):
        DiskJournal.open(root, encryption=encrypted())


def test_a_large_value_that_is_tried_again_keeps_its_names(root: Path) -> None:
    """Its parts are committed before the row that refers to them; encrypted anew, they would have other names each time."""
    text = CANARY * 200_000
    paid(root, OLD, value=text)
    with closing(sqlite3.connect(database(root))) as connection:
        (chunks,) = connection.execute("SELECT count(*) FROM Cache WHERE key LIKE 'b/%/~%'").fetchone()
    assert 10 <= chunks <= 20
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        assert executor(journal).run_all(batch("pay"), {"pay": lambda i: "again"}) == [text]


# --- keys ---------------------------------------------------------------------------------------------------------------


def test_the_key_in_the_environment_is_used_by_default(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLSLOT_KEY", Encryption.new_key())
    with closing(open_journal(root)) as journal:
        executor(journal).run_all(batch("pay"), {"pay": lambda i: CANARY})
    assert not leaks(root, CANARY)
    monkeypatch.delenv("TOOLSLOT_KEY")
    with pytest.raises(JournalKeyMissing):
        open_journal(root)


def test_keys_may_come_from_a_function_and_a_list_in_the_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid(root, OLD)
    with DiskJournal.open(root, encryption=Encryption(lambda: [OLD])) as journal:
        assert examined(journal).sound
    import base64

    monkeypatch.setenv("MY_KEYS", ", ".join(base64.urlsafe_b64encode(key).decode() for key in (NEW, OLD)))
    with DiskJournal.open(root, encryption=Encryption.from_environment("MY_KEYS")) as journal:
        assert journal.load(KEY).result(10)


@pytest.mark.parametrize("keys", [[], b"o" * 32, [b"short"], ["o" * 32], [OLD, b""]])
def test_what_is_no_key_is_refused_where_it_is_given(keys: Any) -> None:
    with pytest.raises(InvalidSetting, match="keys"):
        Encryption(keys)


@pytest.mark.parametrize("text", ["", "secret password", "c2hvcnQ=", "ü" * 44])
def test_a_variable_that_holds_no_key_is_refused_and_not_quoted(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_KEY", text)
    with pytest.raises(InvalidSetting) as caught:
        Encryption.from_environment()
    assert not text or text not in str(caught.value)


def test_one_process_does_not_open_a_journal_with_two_sets_of_keys(root: Path) -> None:
    with DiskJournal.open(root, encryption=encrypted()):
        for other in (None, encrypted(NEW, OLD)):
            with pytest.raises(InvalidSetting, match="Use the same for all"):
                DiskJournal.open(root, encryption=other)
        with DiskJournal.open(root, encryption=encrypted()) as same:
            assert same.digest_key


def test_neither_keys_nor_digest_keys_are_in_reprs_and_errors(root: Path) -> None:
    encryption = encrypted()
    with DiskJournal.open(root, encryption=encryption) as journal:
        texts = [repr(encryption), repr(journal), repr(journal._directory.terms)]
        assert journal.digest_key is not None
        secret = journal.digest_key.hex()
    with pytest.raises(JournalKeyMissing) as caught:
        DiskJournal.open(root)
    assert not [text for text in (*texts, str(caught.value)) if "oooo" in text or secret in text]


def test_without_the_extra_one_line_says_what_to_install(root: Path) -> None:
    code = f"""
import sys
sys.modules["cryptography"] = None
import toolslot
assert not [name for name in sys.modules if name.startswith("cryptography.")]
try:
    toolslot.DiskJournal.open({str(root)!r}, encryption=toolslot.Encryption([b"o" * 32]))
except toolslot.InvalidSetting as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'encryption needs the package cryptography: pip install "toolslot[encryption]"\n'


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_opens_the_encrypted_journal_anew(root: Path) -> None:
    with DiskJournal.open(root, encryption=encrypted()) as journal:
        executor(journal).run_all(batch("pay"), {"pay": lambda i: CANARY})
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = (
                    0
                    if executor(journal).run_all(batch("pay"), {"pay": lambda i: "again"}) == [CANARY]
                    else 2
                )
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class TestEncryptedJournal(DecisionContract, HistoryContract):
    """The parts of the contract with the most payloads; tests/nightly has the whole."""

    @pytest.fixture(autouse=True)
    def _storage(self, root: Path) -> None:
        self.path = root

    def make_journal(self) -> Journal:
        return open_apart(self.path, encryption=encrypted())


def test_a_salvage_needs_no_key_and_what_it_brings_over_is_read_with_the_key(
    root: Path, tmp_path: Path
) -> None:
    paid(root, OLD)
    paid(root, OLD, run="run-2", value=CANARY * 100_000)
    target = tmp_path / "salvaged"
    report = salvage(root, target)
    assert (report.batches, report.lost) == (2, ())
    ran: list[int] = []
    with DiskJournal.open(target, encryption=encrypted()) as journal:
        assert executor(journal).run_all(batch("pay"), {"pay": ran.append}) == [CANARY]
        assert executor(journal).run_all(batch("pay", run="run-2"), {"pay": ran.append}) == [CANARY * 100_000]
        assert examined(journal).sound
    assert ran == []


def test_the_doctor_tells_a_value_that_was_changed_when_it_has_the_key(root: Path) -> None:
    paid(root, OLD)

    def change(body: Any) -> Any:
        for row in body:
            if row.get("outcome"):
                row["outcome"]["hidden"] = row["outcome"]["hidden"][:-8] + "AAAAAAA="
        return body

    with closing(sqlite3.connect(database(root))) as connection:
        names = [
            n
            for (n,) in connection.execute(
                "SELECT key FROM Cache WHERE key LIKE 'b/run-1/b-1/0%' ORDER BY key"
            )
        ]
    for name in names:
        tampered(root, name, change)
    assert diagnose(root).sound
    assert not diagnose(root, encrypted()).sound
