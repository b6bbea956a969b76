"""Rows survive JSON exactly, and whatever is not exactly a row is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolslot._codec import ErrorRecord, Payload
from toolslot._domain._identity import Owner, ProcessIdentity
from toolslot._domain._slot import (
    BatchKey,
    Decided,
    Delivered,
    Evidence,
    Fence,
    Finished,
    Handover,
    Lost,
    Manifest,
    Noted,
    Paused,
    Reason,
    Regenerated,
    Repeated,
    Row,
    SlotSpec,
    Started,
    Tenure,
    Verdict,
    Withdrawn,
)
from toolslot._errors import JournalCorrupt
from toolslot.journal._format import _row_codec as codec

TEXT = st.text(max_size=20)
COUNT = st.integers(0, 2**40)
TIME = st.floats(0, 2e9)
PAYLOAD = st.builds(
    Payload, codec=TEXT, data=st.binary(max_size=50) | TEXT.map(str.encode), lossy=st.booleans()
)
ERROR = st.builds(
    ErrorRecord,
    type_name=TEXT,
    message=TEXT,
    args=st.none() | st.tuples(TEXT, st.integers(), st.none()),
    notes=st.lists(TEXT, max_size=2).map(tuple),
    cause=st.none() | st.builds(ErrorRecord, type_name=TEXT, message=TEXT),
    traceback=TEXT,
)
BASE: dict[str, st.SearchStrategy[Any]] = {
    "index": COUNT,
    "generation": COUNT,
    "attempt": COUNT,
    "epoch": COUNT,
    "at": TIME,
}
RESULT: dict[str, st.SearchStrategy[Any]] = {"outcome": st.none() | PAYLOAD, "error": st.none() | ERROR}
SPEC = st.builds(
    SlotSpec,
    index=COUNT,
    tool=TEXT,
    call_id=TEXT,
    digest=st.none() | TEXT,
    args=PAYLOAD,
    idempotent=st.booleans(),
)
ROW: st.SearchStrategy[Row] = st.one_of(
    st.builds(Started, **BASE, queued_at=TIME),
    st.builds(Withdrawn, **BASE, why=TEXT),
    st.builds(Paused, **BASE),
    st.builds(Lost, **BASE, reason=st.sampled_from(Reason)),
    st.builds(
        Finished,
        **BASE,
        **RESULT,
        failed=st.booleans(),
        escaped=st.booleans(),
        queued_at=TIME,
        started_at=TIME,
    ),
    st.builds(
        Decided,
        **BASE,
        **RESULT,
        verdict=st.sampled_from(Verdict),
        by=TEXT,
        why=TEXT,
        decision_id=TEXT,
        version=COUNT,
    ),
    st.builds(Evidence, **BASE, **RESULT, failed=st.booleans()),
    st.builds(Delivered, **BASE, **RESULT),
    st.builds(Noted, **BASE, note=PAYLOAD),
    st.builds(Repeated, **BASE, process=TEXT, outcome=st.none() | PAYLOAD, failed=st.booleans()),
    st.builds(Regenerated, **BASE, spec=SPEC),
)
OWNER = st.builds(
    Owner,
    process=st.builds(ProcessIdentity, host=TEXT, pid=COUNT, started=TIME, token=TEXT),
    token=TEXT,
)


def through_json(data: object) -> object:
    return json.loads(json.dumps(data))


@given(ROW)
def test_every_row_comes_back_as_it_was(row: Row) -> None:
    assert codec.row_from_json(through_json(codec.row_to_json(row))) == row


@given(st.builds(Fence, epoch=COUNT, owner=OWNER, held=st.booleans(), closed=st.booleans()))
def test_every_fence_comes_back_as_it_was(fence: Fence) -> None:
    assert codec.fence_from_json(through_json(codec.fence_to_json(fence))) == fence


@given(
    st.builds(
        Tenure,
        epoch=COUNT,
        owner=OWNER,
        at=TIME,
        why=TEXT,
        how=st.none() | st.sampled_from(Handover),
        limit=st.none() | COUNT,
        trace=st.none() | TEXT,
        by=st.none() | TEXT,
    )
)
def test_every_tenure_comes_back_as_it_was(tenure: Tenure) -> None:
    assert codec.tenure_from_json(through_json(codec.tenure_to_json(tenure))) == tenure


@given(st.lists(SPEC, max_size=3), st.none() | TEXT, st.none() | st.binary(max_size=20), TIME)
def test_every_manifest_comes_back_as_it_was(
    specs: list[SlotSpec], lineage: str | None, payload: bytes | None, created: float
) -> None:
    from dataclasses import replace

    manifest = Manifest(
        key=BatchKey("run", "batch"),
        specs=tuple(replace(spec, index=index) for index, spec in enumerate(specs)),
        created=created,
        adapter="test",
        lineage=lineage,
        payload=payload,
    )
    assert codec.manifest_from_json(through_json(codec.manifest_to_json(manifest))) == manifest


@given(ROW, st.data())
def test_a_row_with_a_field_more_or_less_is_refused(row: Row, data: st.DataObject) -> None:
    stored = codec.row_to_json(row)
    with pytest.raises(JournalCorrupt, match="does not know: \\['news'\\]"):
        codec.row_from_json(through_json({**stored, "news": 1}))
    missing = data.draw(st.sampled_from(sorted(stored)))
    with pytest.raises(JournalCorrupt, match=f"no field {missing!r}"):
        codec.row_from_json(through_json({name: value for name, value in stored.items() if name != missing}))


@given(ROW, st.data())
def test_a_field_of_another_type_is_refused(row: Row, data: st.DataObject) -> None:
    stored = codec.row_to_json(row)
    field = data.draw(st.sampled_from(sorted(stored)))
    with pytest.raises(JournalCorrupt):
        codec.row_from_json(through_json({**stored, field: [{}]}))


@pytest.mark.parametrize(
    "stored", [None, 1, "text", [], {}, {"kind": "exec"}, {"kind": None}, {"kind": ["started"]}]
)
def test_what_is_no_row_is_refused(stored: object) -> None:
    with pytest.raises(JournalCorrupt):
        codec.row_from_json(stored)


@pytest.mark.parametrize(
    ("field", "value"),
    [("index", True), ("index", 1.0), ("index", "1"), ("at", "now"), ("at", True), ("epoch", None)],
)
def test_numbers_are_not_guessed(field: str, value: object) -> None:
    stored = codec.row_to_json(Paused(index=0, generation=1, attempt=1, epoch=1, at=0.0))
    with pytest.raises(JournalCorrupt, match=field):
        codec.row_from_json({**stored, field: value})


@pytest.mark.parametrize("field", ["reason", "verdict"])
def test_words_that_a_later_version_may_add_are_refused_by_this_one(field: str) -> None:
    rows: dict[str, Row] = {
        "reason": Lost(index=0, generation=1, attempt=1, epoch=1, at=0.0, reason=Reason.TIMED_OUT),
        "verdict": Decided(
            index=0,
            generation=1,
            attempt=1,
            epoch=1,
            at=0.0,
            verdict=Verdict.DONE,
            by="",
            why="",
            decision_id="",
            version=1,
        ),
    }
    with pytest.raises(JournalCorrupt, match="which this version of toolslot does not know"):
        codec.row_from_json({**codec.row_to_json(rows[field]), field: "a later word"})


@pytest.mark.parametrize(
    "payload",
    [
        {"codec": "j"},
        {"codec": "j", "text": "1", "base64": "MQ=="},
        {"codec": "j", "base64": "!!!"},
        {"codec": "j", "base64": None},
        {"codec": "j", "text": "1", "lossy": 1},
        {"codec": "j", "text": 1},
        "1",
    ],
)
def test_a_damaged_payload_is_refused(payload: object) -> None:
    row = Delivered(index=0, generation=1, attempt=1, epoch=1, at=0.0, outcome=Payload(codec="j", data=b"1"))
    with pytest.raises(JournalCorrupt):
        codec.row_from_json({**codec.row_to_json(row), "outcome": payload})


def test_a_manifest_numbers_its_calls() -> None:
    spec = SlotSpec(index=1, tool="t", call_id="", digest=None, args=Payload(codec="j", data=b"{}"))
    manifest = Manifest(key=BatchKey("run", "batch"), specs=(spec,), created=0.0)
    with pytest.raises(JournalCorrupt, match="number its calls"):
        codec.manifest_from_json(codec.manifest_to_json(manifest))


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_texts_with_surrogates_come_back_from_the_disk_as_they_were(text: str) -> None:
    from toolslot.journal._disk._chunks import dumps, parse

    assert parse(dumps([text])) == [text]
