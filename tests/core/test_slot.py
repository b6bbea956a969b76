"""The fold: what a slot's rows say about its state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolslot._codec import Payload
from toolslot._domain._fold import fold_slot
from toolslot._domain._identity import Owner, OwnerState
from toolslot._domain._slot import (
    BatchKey,
    BatchRecord,
    Decided,
    Delivered,
    Evidence,
    Fence,
    Finished,
    Lost,
    Manifest,
    Paused,
    Reason,
    Regenerated,
    Repeated,
    Row,
    SlotRecord,
    SlotSpec,
    SlotState,
    Started,
    Verdict,
    Withdrawn,
)
from toolslot.journal._process import this_process

SPEC = SlotSpec(index=0, tool="pay", call_id="c", digest="d", args=Payload(codec="j", data=b"{}"))
OTHER = replace(SPEC, tool="refund")


def payload(text: str) -> Payload:
    return Payload(codec="s", data=text.encode())


def started(attempt: int = 1, generation: int = 1) -> Started:
    return Started(index=0, generation=generation, attempt=attempt, epoch=1, at=10.0 * attempt, queued_at=9.0)


def finished(
    attempt: int = 1, *, failed: bool = False, escaped: bool = False, generation: int = 1
) -> Finished:
    return Finished(
        index=0,
        generation=generation,
        attempt=attempt,
        epoch=1,
        at=10.0 * attempt + 5,
        outcome=payload(f"result {attempt}"),
        failed=failed,
        escaped=escaped,
        queued_at=1.0,
        started_at=2.0,
    )


def lost(reason: Reason = Reason.TIMED_OUT, attempt: int = 1) -> Lost:
    return Lost(index=0, generation=1, attempt=attempt, epoch=2, at=10.0 * attempt + 4, reason=reason)


def withdrawn(attempt: int = 1) -> Withdrawn:
    return Withdrawn(index=0, generation=1, attempt=attempt, epoch=1, at=11.0, why="never entered")


def paused(attempt: int = 1) -> Paused:
    return Paused(index=0, generation=1, attempt=attempt, epoch=1, at=11.0)


def decided(verdict: Verdict, attempt: int = 1) -> Decided:
    return Decided(
        index=0,
        generation=1,
        attempt=attempt,
        epoch=3,
        at=99.0,
        verdict=verdict,
        by="ops",
        why="asked the bank",
        decision_id="d1",
        version=2,
        outcome=payload("decided"),
    )


def delivered(attempt: int = 1) -> Delivered:
    return Delivered(index=0, generation=1, attempt=attempt, epoch=1, at=50.0, outcome=payload("told"))


def evidence(attempt: int = 1, generation: int = 1, at: float = 70.0) -> Evidence:
    return Evidence(index=0, generation=generation, attempt=attempt, epoch=1, at=at, outcome=payload("late"))


def repeated(at: float = 80.0, *, failed: bool = False, generation: int = 1) -> Repeated:
    return Repeated(
        index=0,
        generation=generation,
        attempt=1,
        epoch=1,
        at=at,
        process=f"process {at:g}",
        outcome=payload(f"repeated {at:g}"),
        failed=failed,
    )


def regenerated(generation: int = 2) -> Regenerated:
    return Regenerated(index=0, generation=generation, attempt=0, epoch=1, at=60.0, spec=OTHER)


ESCAPED = finished(failed=True, escaped=True)
HISTORIES: dict[str, tuple[SlotState, tuple[Row, ...]]] = {
    "nothing": (SlotState.RESERVED, ()),
    "started": (SlotState.RUNNING, (started(),)),
    "withdrawn": (SlotState.RESERVED, (started(), withdrawn())),
    "paused": (SlotState.WAITING, (started(), paused())),
    "lost": (SlotState.UNKNOWN, (started(), lost())),
    "succeeded": (SlotState.SUCCEEDED, (started(), finished())),
    "failed": (SlotState.FAILED, (started(), finished(failed=True))),
    "escaped": (SlotState.FAILED, (started(), ESCAPED)),
    "doubted": (SlotState.UNKNOWN, (started(), ESCAPED, lost(Reason.ESCAPED))),
    "late result": (SlotState.SUCCEEDED, (started(), lost(), finished())),
    "late failure, then doubted": (SlotState.UNKNOWN, (started(), lost(), ESCAPED, lost(Reason.ESCAPED))),
    "lost, then withdrawn": (SlotState.RESERVED, (started(), lost(), withdrawn())),
    "doubted, then withdrawn": (
        SlotState.RESERVED,
        (started(), ESCAPED, lost(Reason.ESCAPED), withdrawn()),
    ),
    "decided done": (SlotState.SUCCEEDED, (started(), lost(), decided(Verdict.DONE))),
    "decided failed": (SlotState.FAILED, (started(), lost(), decided(Verdict.FAILED))),
    "decided to run again": (SlotState.RESERVED, (started(), lost(), decided(Verdict.RERUN))),
    "doubted, then decided": (
        SlotState.SUCCEEDED,
        (started(), ESCAPED, lost(Reason.ESCAPED), decided(Verdict.DONE)),
    ),
    "doubted, then decided failed": (
        SlotState.FAILED,
        (started(), ESCAPED, lost(Reason.ESCAPED), decided(Verdict.FAILED)),
    ),
    "told": (SlotState.UNKNOWN, (started(), lost(), delivered())),
    "entered again": (SlotState.RUNNING, (started(), paused(), started(2))),
    "lost when entered again": (SlotState.UNKNOWN, (started(), paused(), started(2), lost(attempt=2))),
    "retried": (SlotState.SUCCEEDED, (started(), ESCAPED, started(2), finished(2))),
    "run again as decided": (SlotState.RUNNING, (started(), lost(), decided(Verdict.RERUN), started(2))),
    "a result without a start mark": (SlotState.SUCCEEDED, (finished(),)),
    "run again on resume": (SlotState.SUCCEEDED, (started(), finished(), repeated())),
    "run again with an error": (SlotState.FAILED, (started(), finished(), repeated(failed=True))),
    "run again with a result": (SlotState.SUCCEEDED, (started(), finished(failed=True), repeated())),
    "decided, then run again": (
        SlotState.SUCCEEDED,
        (started(), lost(), decided(Verdict.FAILED), repeated()),
    ),
    "run again without an answer to replace": (SlotState.RUNNING, (started(), repeated())),
    "run again in an earlier generation": (
        SlotState.RESERVED,
        (started(), finished(), repeated(), regenerated()),
    ),
    "evidence alone": (SlotState.RESERVED, (evidence(),)),
    "evidence of a later attempt": (SlotState.SUCCEEDED, (started(), finished(), evidence(attempt=2))),
    "evidence of a later generation": (SlotState.SUCCEEDED, (started(), finished(), evidence(generation=2))),
    "given way": (SlotState.RESERVED, (started(), finished(), regenerated())),
    "given way, and run": (SlotState.RUNNING, (started(3), regenerated(), started(1, generation=2))),
}


def fold(*rows: Row) -> SlotRecord:
    return fold_slot(SPEC, rows)


@pytest.mark.parametrize(("state", "rows"), HISTORIES.values(), ids=HISTORIES)
def test_the_rows_tell_the_state(state: SlotState, rows: tuple[Row, ...]) -> None:
    assert fold(*rows).state is state


@pytest.mark.parametrize("rows", [rows for _, rows in HISTORIES.values()], ids=HISTORIES)
@given(data=st.data())
def test_the_order_of_the_rows_does_not_matter(rows: tuple[Row, ...], data: st.DataObject) -> None:
    assert fold(*data.draw(st.permutations(rows))) == fold(*rows)


@pytest.mark.parametrize("rows", [rows for _, rows in HISTORIES.values()], ids=HISTORIES)
def test_the_version_counts_every_row(rows: tuple[Row, ...]) -> None:
    assert fold(*rows).version == len(rows)


def test_evidence_keeps_the_order_it_was_written_in() -> None:
    rows = [evidence(at=3.0), evidence(at=1.0), evidence(at=2.0)]
    assert fold(started(), *rows).evidence == tuple(rows)


def test_the_answer_is_that_of_the_newest_repetition_in_whatever_order_they_come() -> None:
    rows = [repeated(82.0), repeated(80.0), repeated(81.0)]
    slot = fold(started(), finished(), *rows)
    assert slot.outcome == payload("repeated 82")
    assert slot.repeated_in == ("process 80", "process 81", "process 82")
    assert (slot.attempt, slot.version, slot.epoch) == (1, 5, 1)


def test_evidence_of_every_attempt_of_the_generation_is_shown() -> None:
    rows: list[Row] = [started(), lost(), started(2), lost(attempt=2), evidence(), evidence(attempt=2)]
    assert [row.attempt for row in fold(*rows).evidence] == [1, 2]


def test_evidence_of_an_earlier_generation_is_not_shown() -> None:
    assert fold(started(), regenerated(), evidence()).evidence == ()


def test_a_new_generation_has_the_new_spec_and_nothing_of_the_old_attempts() -> None:
    slot = fold(started(), finished(), delivered(), regenerated())
    assert slot == SlotRecord(spec=OTHER, generation=2, version=4)


def test_only_the_newest_attempt_counts() -> None:
    slot = fold(started(), lost(), delivered(), decided(Verdict.RERUN), started(2))
    assert slot == SlotRecord(
        spec=SPEC, state=SlotState.RUNNING, attempt=2, version=5, epoch=1, queued_at=9.0, started_at=20.0
    )


def test_a_decision_outranks_the_result_it_is_about() -> None:
    slot = fold(started(), ESCAPED, lost(Reason.ESCAPED), decided(Verdict.DONE))
    assert slot.outcome == payload("decided")
    assert (slot.escaped, slot.reason) == (False, None)


def test_doubt_about_a_failure_keeps_what_it_left() -> None:
    slot = fold(started(), ESCAPED, lost(Reason.ESCAPED))
    assert (slot.outcome, slot.reason, slot.escaped) == (ESCAPED.outcome, Reason.ESCAPED, False)


@pytest.mark.parametrize(
    "rows",
    [
        (started(), ESCAPED, lost(Reason.ESCAPED), withdrawn()),
        (started(), ESCAPED, lost(Reason.ESCAPED), decided(Verdict.RERUN)),
    ],
    ids=["withdrawn", "decided to run again"],
)
def test_a_reserved_slot_shows_no_outcome(rows: tuple[Row, ...]) -> None:
    slot = fold(*rows)
    assert (slot.outcome, slot.error, slot.reason) == (None, None, None)


def test_times_come_from_the_start_mark() -> None:
    slot = fold(started(), finished())
    assert (slot.queued_at, slot.started_at, slot.ended_at) == (9.0, 10.0, 15.0)


def test_times_come_from_the_result_where_there_is_no_start_mark() -> None:
    slot = fold(finished())
    assert (slot.queued_at, slot.started_at, slot.ended_at) == (1.0, 2.0, 15.0)


@pytest.mark.parametrize(
    ("final", "history"),
    [
        (False, "nothing"),
        (False, "started"),
        (False, "paused"),
        (False, "lost"),
        (False, "escaped"),
        (False, "doubted"),
        (False, "decided to run again"),
        (True, "succeeded"),
        (True, "failed"),
        (True, "decided done"),
        (True, "decided failed"),
        (True, "doubted, then decided failed"),
    ],
)
def test_only_results_decisions_and_failures_the_agent_saw_are_final(final: bool, history: str) -> None:
    assert fold(*HISTORIES[history][1]).final is final


@pytest.mark.parametrize(
    ("settled", "histories"),
    [(True, ()), (True, ("succeeded", "failed")), (False, ("succeeded", "escaped")), (False, ("nothing",))],
)
def test_a_batch_is_settled_when_all_of_its_slots_are_final(
    settled: bool, histories: tuple[str, ...]
) -> None:
    slots = tuple(fold(*HISTORIES[name][1]) for name in histories)
    manifest = Manifest(key=BatchKey("r", "b"), specs=(SPEC,) * len(slots), created=0.0)
    owner = Owner(process=this_process(), token="t")
    record = BatchRecord(
        manifest=manifest, fence=Fence(epoch=1, owner=owner), slots=slots, owner_state=OwnerState.DEAD
    )
    assert record.settled is settled


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (BatchKey("run", "batch"), "run/batch"),
        (BatchKey("a\nb", "\0"), r"a\nb/\x00"),
        (BatchKey("\ud800", "\u202e"), r"\ud800/\u202e"),
        (BatchKey("Zürich", "日本"), "Zürich/日本"),
    ],
)
def test_a_batch_key_in_a_message_cannot_break_the_line_or_the_log(key: BatchKey, text: str) -> None:
    assert str(key) == text
    str(key).encode()
