"""Append, as a table: which row may follow in which state, and what comes of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

import pytest

from toolslot._codec import Payload
from toolslot._domain._identity import Owner
from toolslot._domain._slot import (
    BatchKey,
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
    Row,
    SlotSpec,
    SlotState,
    Started,
    Tenure,
    Verdict,
    Withdrawn,
)
from toolslot._domain._state import AppendRow, record_of
from toolslot._errors import BatchClosed, BatchMismatch, Fenced, InvalidSetting, ToolslotError
from toolslot.journal import Append, BatchState, Change, MemoryStore
from toolslot.journal._process import this_process

KEY = BatchKey("run", "batch")
SECRET = b"4111 1111 1111 1111"
OWNER = Owner(process=this_process(), token="t")
SPEC = SlotSpec(index=0, tool="pay", call_id="c", digest="d", args=Payload(codec="j", data=SECRET))


class Answer(Enum):
    """What becomes of a row."""

    #: it is written
    YES = "written"
    #: it says nothing new; no error
    NO = "ignored"
    FENCED = "refused"
    #: kept as evidence and refused
    EVIDENCE = "kept as evidence"


def started(attempt: int = 2) -> Started:
    return Started(index=0, generation=1, attempt=attempt, epoch=1, at=1.0, queued_at=0.5)


def finished(*, attempt: int = 1, failed: bool = False, at: float = 9.0) -> Finished:
    outcome = Payload(codec="s", data=SECRET)
    return Finished(
        index=0, generation=1, attempt=attempt, epoch=1, at=at, outcome=outcome, failed=failed, escaped=failed
    )


def lost(reason: Reason, attempt: int = 1) -> Lost:
    return Lost(index=0, generation=1, attempt=attempt, epoch=1, at=2.0, reason=reason)


def withdrawn(attempt: int = 1) -> Withdrawn:
    return Withdrawn(index=0, generation=1, attempt=attempt, epoch=1, at=3.0, why="never entered")


def paused(attempt: int = 1) -> Paused:
    return Paused(index=0, generation=1, attempt=attempt, epoch=1, at=4.0)


def delivered() -> Delivered:
    return Delivered(index=0, generation=1, attempt=1, epoch=1, at=5.0, outcome=None)


def regenerated(generation: int = 2) -> Regenerated:
    return Regenerated(
        index=0, generation=generation, attempt=0, epoch=1, at=6.0, spec=replace(SPEC, tool="refund")
    )


def decided(verdict: Verdict) -> Decided:
    return Decided(
        index=0,
        generation=1,
        attempt=1,
        epoch=1,
        at=7.0,
        verdict=verdict,
        by="ops",
        why="",
        decision_id="d",
        version=2,
    )


BEGAN = started(attempt=1)
ESCAPED = replace(finished(failed=True), at=1.5)
#: every state of a slot at attempt 1, by the rows that led there
STATES: dict[str, tuple[Row, ...]] = {
    "running": (BEGAN,),
    "withdrawn": (BEGAN, withdrawn()),
    "waiting": (BEGAN, paused()),
    "succeeded": (BEGAN, replace(finished(), at=1.5)),
    "failed": (BEGAN, replace(ESCAPED, escaped=False)),
    "escaped": (BEGAN, ESCAPED),
    "timed out": (BEGAN, lost(Reason.TIMED_OUT)),
    "cancelled": (BEGAN, lost(Reason.CANCELLED)),
    "owner died": (BEGAN, lost(Reason.OWNER_DIED)),
    "taken over": (BEGAN, lost(Reason.TAKEN_OVER)),
    "doubted": (BEGAN, ESCAPED, replace(lost(Reason.ESCAPED), at=1.7)),
    "decided done": (BEGAN, lost(Reason.TIMED_OUT), decided(Verdict.DONE)),
    "decided failed": (BEGAN, lost(Reason.TIMED_OUT), decided(Verdict.FAILED)),
    "decided rerun": (BEGAN, lost(Reason.TIMED_OUT), decided(Verdict.RERUN)),
}
ROWS: dict[str, Row] = {
    "start": started(),
    "finish": finished(),
    "withdraw": replace(withdrawn(), at=33.0),
    "pause": replace(paused(), at=44.0),
    "lose": replace(lost(Reason.TIMED_OUT), at=22.0),
    "doubt": replace(lost(Reason.ESCAPED), at=22.0),
    "deliver": delivered(),
    "regenerate": regenerated(),
}
Y, N, F, E = Answer.YES, Answer.NO, Answer.FENCED, Answer.EVIDENCE
#: for each state what becomes of start (of attempt 2), finish, withdraw, pause, lose, doubt, deliver, regenerate
TABLE = {
    "running": (F, Y, Y, Y, Y, Y, N, Y),
    "withdrawn": (Y, E, N, N, N, N, Y, Y),
    "waiting": (Y, E, N, N, N, N, N, Y),
    "succeeded": (F, E, N, N, N, N, N, Y),
    "failed": (F, E, N, N, N, N, N, Y),
    "escaped": (Y, E, N, N, N, Y, N, Y),
    "timed out": (Y, Y, Y, N, N, N, Y, Y),
    "cancelled": (Y, Y, Y, N, N, N, Y, Y),
    "owner died": (Y, E, Y, N, N, N, Y, Y),
    "taken over": (Y, E, Y, N, N, N, Y, Y),
    "doubted": (Y, E, Y, N, N, N, Y, Y),
    "decided done": (F, E, N, N, N, N, N, Y),
    "decided failed": (F, E, N, N, N, N, N, Y),
    "decided rerun": (Y, E, N, N, N, N, Y, Y),
}
CELLS = [
    pytest.param(state, row, answer, id=f"{state}-{row}")
    for state, answers in TABLE.items()
    for row, answer in zip(ROWS, answers, strict=True)
]


def store(*rows: Row, spec: SlotSpec = SPEC, held: bool = True, closed: bool = False) -> MemoryStore:
    """One batch of one call, at epoch 1, with these rows."""
    view = MemoryStore()
    manifest = Manifest(key=KEY, specs=(spec,), created=0.0)
    fence = Fence(epoch=1, owner=OWNER, held=held, closed=closed)
    view.batches[KEY] = BatchState(manifest, fence, (Tenure(epoch=1, owner=OWNER, at=0.0),), rows)
    return view


def answer(view: MemoryStore, row: Row) -> Answer:
    """What Append says about the row; checks that it decides the same twice and changes nothing by itself."""
    before = record_of(view, view.batches[KEY])
    try:
        change = Append(key=KEY, row=row).change(view)
    except Fenced:
        return Answer.FENCED
    finally:
        assert record_of(view, view.batches[KEY]) == before
    again = Append(key=KEY, row=row).change(view)
    assert (again.writes, again.result) == (change.writes, change.result)
    if change.refusal is not None:
        assert [type(written(change))] == [Evidence]
        return Answer.EVIDENCE
    if not change.writes:
        assert change.result == before.slots[0]
        return Answer.NO
    assert written(change) == row
    return Answer.YES


def written(change: Change[object]) -> Row:
    """The one row that is to be written."""
    (write,) = change.writes
    assert isinstance(write, AppendRow)
    assert write.fold == change.result
    return write.row


@pytest.mark.parametrize(("state", "row", "expected"), CELLS)
def test_which_row_may_follow_in_which_state(state: str, row: str, expected: Answer) -> None:
    assert answer(store(*STATES[state]), ROWS[row]) is expected


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", ROWS)
def test_a_row_with_an_old_epoch_never_counts(state: str, row: str) -> None:
    view = store(*STATES[state])
    view.batches[KEY].fence = Fence(epoch=2, owner=OWNER)
    expected = Answer.EVIDENCE if row == "finish" else Answer.FENCED
    assert answer(view, ROWS[row]) is expected


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", [name for name in ROWS if name not in ("start", "regenerate")])
def test_a_row_about_an_earlier_attempt_never_counts(state: str, row: str) -> None:
    later = replace(BEGAN, attempt=2, at=100.0)
    expected = Answer.EVIDENCE if row == "finish" else Answer.NO
    assert answer(store(*STATES[state], later), ROWS[row]) is expected


@pytest.mark.parametrize("row", [name for name in ROWS if name not in ("start", "regenerate")])
def test_a_row_about_an_attempt_that_never_began_never_counts(row: str) -> None:
    expected = Answer.EVIDENCE if row == "finish" else Answer.NO
    assert answer(store(), ROWS[row]) is expected


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("row", ROWS)
def test_a_row_about_an_earlier_generation_never_counts(state: str, row: str) -> None:
    expected = {"finish": Answer.EVIDENCE, "start": Answer.FENCED, "regenerate": Answer.FENCED}
    later: list[Row] = [replace(regenerated(), at=50.0)]
    assert answer(store(*STATES[state], *later), ROWS[row]) is expected.get(row, Answer.NO)
    later.append(replace(BEGAN, generation=2))
    assert answer(store(*STATES[state], *later), ROWS[row]) is expected.get(row, Answer.NO)


def test_a_call_that_gave_way_does_not_start_as_the_new_one() -> None:
    assert answer(store(regenerated()), BEGAN) is Answer.FENCED


@pytest.mark.parametrize("row", ["start", "regenerate"])
@pytest.mark.parametrize("state", STATES)
def test_nothing_of_a_closed_batch_begins(state: str, row: str) -> None:
    with pytest.raises(BatchClosed, match="run/batch"):
        Append(key=KEY, row=ROWS[row]).change(store(*STATES[state], held=False, closed=True))


@pytest.mark.parametrize("state", STATES)
def test_a_result_for_a_closed_batch_is_evidence(state: str) -> None:
    assert answer(store(*STATES[state], closed=True), finished()) is Answer.EVIDENCE


@pytest.mark.parametrize("state", [name for name, answers in TABLE.items() if answers[0] is Y])
def test_nothing_starts_once_the_owner_let_go(state: str) -> None:
    assert answer(store(*STATES[state], held=False), started()) is Answer.FENCED


@pytest.mark.parametrize(
    ("rows", "again"),
    [
        ((BEGAN,), BEGAN),
        ((BEGAN, finished()), finished()),
        ((BEGAN, withdrawn()), withdrawn()),
        ((BEGAN, paused()), paused()),
        ((BEGAN, lost(Reason.TIMED_OUT)), lost(Reason.TIMED_OUT)),
        ((BEGAN, lost(Reason.TIMED_OUT), delivered()), delivered()),
        ((regenerated(),), regenerated()),
    ],
    ids=["start", "finish", "withdraw", "pause", "lose", "deliver", "regenerate"],
)
def test_the_same_row_again_is_ignored(rows: tuple[Row, ...], again: Row) -> None:
    assert answer(store(*rows), again) is Answer.NO


def test_a_start_mark_whose_attempt_has_ended_is_not_a_repetition() -> None:
    assert answer(store(BEGAN, lost(Reason.TIMED_OUT)), BEGAN) is Answer.FENCED


def test_the_same_evidence_again_is_refused_and_not_kept_twice() -> None:
    view = store(BEGAN, replace(finished(), at=1.5))
    first = Append(key=KEY, row=finished()).change(view)
    view.apply(first.writes[0])
    again = Append(key=KEY, row=finished()).change(view)
    assert (again.writes, type(again.refusal)) == ((), Fenced)


@pytest.mark.parametrize("row", [finished(attempt=2), lost(Reason.TIMED_OUT, attempt=2), paused(attempt=2)])
@pytest.mark.parametrize(
    "state", ["withdrawn", "waiting", "escaped", "timed out", "owner died", "decided rerun"]
)
def test_the_next_attempt_of_an_idempotent_call_needs_no_start_mark(state: str, row: Row) -> None:
    assert answer(store(*STATES[state], spec=replace(SPEC, idempotent=True)), row) is Answer.YES


@pytest.mark.parametrize("state", ["succeeded", "failed", "decided done", "decided failed"])
def test_a_settled_idempotent_call_has_no_next_attempt(state: str) -> None:
    view = store(*STATES[state], spec=replace(SPEC, idempotent=True))
    assert answer(view, finished(attempt=2)) is Answer.EVIDENCE
    assert answer(view, paused(attempt=2)) is Answer.NO


def test_an_unmarked_attempt_of_an_idempotent_call_leaves_nothing_to_withdraw() -> None:
    assert answer(store(spec=replace(SPEC, idempotent=True)), withdrawn()) is Answer.NO


@pytest.mark.parametrize(
    "row", [decided(Verdict.DONE), replace(finished(), at=0.0)], ids=["decided", "evidence"]
)
def test_rows_that_other_verbs_write_are_refused(row: Row) -> None:
    if isinstance(row, Finished):
        row = Evidence(index=0, generation=1, attempt=1, epoch=1, at=0.0, outcome=row.outcome)
    with pytest.raises(InvalidSetting, match="its own verb"):
        Append(key=KEY, row=row).change(store(BEGAN, lost(Reason.TIMED_OUT)))


@pytest.mark.parametrize("index", [1, -1])
def test_an_index_outside_the_batch_is_refused(index: int) -> None:
    with pytest.raises(BatchMismatch, match=f"1 calls.*no {index}"):
        Append(key=KEY, row=replace(BEGAN, index=index)).change(store())


@pytest.mark.parametrize(
    ("view", "row", "says"),
    [
        (lambda: store(held=False), BEGAN, ("attempt 1 of call 0 (pay)", "run/batch", "let the batch go")),
        (
            lambda: store(BEGAN),
            started(),
            ("attempt 2 of call 0", "running at attempt 1", "open the batch again"),
        ),
        (lambda: store(closed=True), BEGAN, ("closed",)),
        (lambda: store(), replace(BEGAN, epoch=7), ("epoch 7", "epoch 1", "stop working")),
        (lambda: store(), regenerated(3), ("generation 3", "at 1")),
        (lambda: store(), finished(), ("attempt 1 of call 0 (pay)", "too late", "kept as evidence")),
        (lambda: store(closed=True), finished(), ("its batch is closed",)),
    ],
)
def test_a_refusal_says_what_was_found_and_shows_no_values(
    view: Callable[[], MemoryStore], row: Row, says: tuple[str, ...]
) -> None:
    error: ToolslotError | None
    try:
        error = Append(key=KEY, row=row).change(view()).refusal
    except ToolslotError as raised:
        error = raised
    message = str(error)
    assert [part for part in says if part not in message] == []
    assert SECRET.decode() not in message
    assert SECRET.hex() not in message


def test_the_states_of_the_table_are_what_they_are_called() -> None:
    states = {name: store(*rows).batches[KEY].slot(0) for name, rows in STATES.items()}
    assert states["running"].state is SlotState.RUNNING
    assert states["withdrawn"].state is states["decided rerun"].state is SlotState.RESERVED
    assert states["waiting"].state is SlotState.WAITING
    assert states["succeeded"].state is states["decided done"].state is SlotState.SUCCEEDED
    assert states["failed"].final
    assert states["escaped"].escaped
    unknown = {name: slot.reason for name, slot in states.items() if slot.state is SlotState.UNKNOWN}
    assert unknown == {
        "timed out": Reason.TIMED_OUT,
        "cancelled": Reason.CANCELLED,
        "owner died": Reason.OWNER_DIED,
        "taken over": Reason.TAKEN_OVER,
        "doubted": Reason.ESCAPED,
    }
