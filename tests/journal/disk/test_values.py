"""Ids of every kind, values of every size."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.batches import manifest, reserve, reserving, with_args, working
from support.examining import examined
from toolslot import BatchKey
from toolslot._codec import Payload
from toolslot._domain._slot import SlotState
from toolslot._errors import JournalCorrupt, NotStorable
from toolslot.journal import Append, DiskJournal
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import CHUNK
from toolslot.testing._worker import PATIENCE, Worker, do

STRANGE = [
    "",
    "/",
    "a/b",
    "..",
    ".",
    "~",
    "#f",
    "%",
    "%2F",
    "%%" + "0" * 64,
    "\0",
    "a\nb",
    "ü",
    "日本語",
    "\ud800",
    "\udcff\ud83d\ude00",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "x" * 120,
    "x" * 121,
    "x" * 100_000,
    "'; DROP TABLE Cache; --",
]


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@given(ANY_TEXT, ANY_TEXT)
def test_distinct_ids_have_distinct_keys_that_no_slash_can_confuse(one: str, other: str) -> None:
    assert (keys.component(one) == keys.component(other)) == (one == other)
    assert not set("/#~\0") & set(keys.component(one))
    assert keys.component(one).isascii()
    assert len(keys.component(one)) <= 120
    hashed = any(keys.component(text).startswith("%%") for text in (one, other))
    assert keys.ids(keys.index(BatchKey(one, other))) == (None if hashed else (one, other))


@given(st.lists(st.text("/#~0%.ab", max_size=6), min_size=4, max_size=4))
def test_a_batchs_rows_lie_in_its_own_range(parts: list[str]) -> None:
    run, batch, other_run, other_batch = parts
    low, high = keys.small_rows(keys.batch_prefix(BatchKey(run, batch)))
    other = keys.batch_prefix(BatchKey(other_run, other_batch))
    inside = [
        low <= name < high for name in (keys.manifest(other), keys.fence(other), keys.segment(other, 1))
    ]
    assert inside == [(run, batch) == (other_run, other_batch)] * 3
    assert not low <= keys.chunk(keys.fence(other), "0" * 32, 0) < high


def test_any_text_will_do_as_an_id_and_is_never_taken_for_another(root: Path) -> None:
    places = [
        BatchKey(run, batch) for run in STRANGE for batch in ("batch", STRANGE[len(run) % len(STRANGE)])
    ]
    places = list(dict.fromkeys(places))
    with DiskJournal.open(root) as journal:
        for number, key in enumerate(places):
            reserve(journal, number % 3 + 1, run=key.run_id, batch=key.batch_id).run(0, f"result {number}")
    with DiskJournal.open(root) as journal:
        assert list(journal.keys().result(PATIENCE)) == places
        for number, key in enumerate(places):
            record = journal.load(key).result(PATIENCE)
            assert record is not None
            assert (record.key, len(record.slots)) == (key, number % 3 + 1)
            outcome = record.slots[0].outcome
            assert outcome is not None
            assert outcome.data == f"result {number}".encode()
        for run in STRANGE:
            assert list(journal.keys(run).result(PATIENCE)) == [key for key in places if key.run_id == run]
        assert examined(journal).sound


def test_a_row_under_the_hash_of_another_id_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.batch_prefix.cache_clear()
    monkeypatch.setattr(keys, "component", lambda text: "same" if len(text) > 120 else text)
    with DiskJournal.open(root) as journal:
        reserve(journal, run="y" * 1000)
        with pytest.raises(JournalCorrupt, match="belong to batch y"):
            journal.load(BatchKey("x" * 1000, "batch")).result(PATIENCE)
    keys.batch_prefix.cache_clear()


SIZES = [0, 1, CHUNK - 400, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 17]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_values_of_any_size_come_back_as_they_were(root: Path, size: int, kind: str) -> None:
    data = os.urandom(size) if kind == "bytes" else b"x" * size
    with DiskJournal.open(root) as journal:
        worker = reserve(journal, 1)
        worker.start(0)
        row = replace(worker.finished(0), outcome=Payload(codec="b", data=data))
        written = worker.write(row)
        assert worker.slot(0) == written
    with DiskJournal.open(root) as journal:
        outcome = worker.through(journal).slot(0).outcome
        assert outcome is not None
        assert outcome.data == data
        assert examined(journal).sound


def test_large_arguments_and_payloads_come_back_as_they_were(root: Path) -> None:
    made = replace(with_args(manifest(3), 2 * CHUNK), payload=os.urandom(3 * CHUNK))
    payload = os.urandom(CHUNK + 5)
    with DiskJournal.open(root) as journal:
        do(journal, replace(reserving(journal, made), run_payload=payload))
    with DiskJournal.open(root) as journal:
        record = journal.load(made.key).result(PATIENCE)
        assert record is not None
        assert record.manifest == made
        assert journal.run_payload("run").result(PATIENCE) == payload


def test_case_23_a_result_over_the_limit_is_refused_before_anything_is_written(root: Path) -> None:
    with DiskJournal.open(root, max_result_bytes=1000) as journal:
        worker: Worker = reserve(journal, 1)
        worker.start(0)
        row = worker.finished(0)
        with pytest.raises(NotStorable, match="max_result_bytes=1000"):
            worker.write(replace(row, outcome=Payload(codec="b", data=b"x" * 1001)))
        assert worker.slot(0).state is SlotState.RUNNING, "a smaller record can still be written"
        assert (
            worker.write(replace(row, outcome=Payload(codec="b", data=b"x" * 1000))).state
            is SlotState.SUCCEEDED
        )


def test_a_reservation_over_the_limit_is_refused_before_anything_is_written(root: Path) -> None:
    with DiskJournal.open(root, max_result_bytes=1000) as journal:
        with pytest.raises(NotStorable, match="arguments of call 0"):
            working(journal, with_args(manifest(2), 1001))
        assert journal.keys().result(PATIENCE) == ()


def test_a_large_value_keeps_the_order_of_the_queue(journal: DiskJournal) -> None:
    worker = reserve(journal, 3)
    worker.start(0)
    order: list[int] = []
    rows = [worker.finished(0, "x" * 10 * CHUNK), worker.started(1), worker.started(2)]
    futures = [journal.submit(Append(key=worker.key, row=row)) for row in rows]
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: order.append(number))
    for future in futures:
        future.result(PATIENCE)
    assert order == [0, 1, 2]


def test_a_question_sees_the_large_values_submitted_before_it(journal: DiskJournal) -> None:
    worker = reserve(journal, 6)
    for index in range(6):
        do(journal, Append(key=worker.key, row=worker.started(index)))
    rows = [worker.finished(index, f"{index}" * 600_000) for index in range(6)]
    for row in rows:
        journal.submit(Append(key=worker.key, row=row))
    seen = journal.load(worker.key).result(PATIENCE)
    assert seen is not None
    assert {slot.state for slot in seen.slots} == {SlotState.SUCCEEDED}


def test_the_same_large_value_again_is_stored_once_for_a_batch(journal: DiskJournal, root: Path) -> None:
    worker = reserve(journal, 1)
    worker.start(0)
    row = worker.finished(0, "x" * 3 * CHUNK)
    worker.write(row)
    worker.write(row)
    with closing(sqlite3.connect(root / "db" / "cache.db")) as connection:
        (chunks,) = connection.execute("SELECT count(*) FROM Cache WHERE key LIKE '%/~%'").fetchone()
    assert chunks == 4
