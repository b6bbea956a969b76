"""The verbs as pure functions: exactly what they ask to be written, and how they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from toolslot._codec import Payload
from toolslot._domain._identity import Owner, OwnerState
from toolslot._domain._slot import (
    BatchKey,
    Decided,
    Fence,
    Handover,
    Lost,
    Manifest,
    Reason,
    Row,
    SlotSpec,
    SlotState,
    Started,
    Tenure,
    Verdict,
)
from toolslot._domain._state import AppendRow, DropRun, NewBatch, PutAlias, PutFence, record_of
from toolslot._errors import (
    BatchClosed,
    BatchMismatch,
    DecisionRefused,
    Fenced,
    JournalCorrupt,
    RunPurged,
    ToolslotError,
)
from toolslot.journal import (
    Adopt,
    Append,
    BatchState,
    Decide,
    MemoryStore,
    Operation,
    Purge,
    Release,
    Reserve,
    TakeOver,
)
from toolslot.journal._process import this_process

KEY, FORK = BatchKey("run", "batch"), BatchKey("run", "fork")
SECRET = b"4111 1111 1111 1111"
FIRST, SECOND = (Owner(process=this_process(), token=token) for token in ("first", "second"))


def specs(count: int) -> tuple[SlotSpec, ...]:
    args = Payload(codec="j", data=SECRET)
    return tuple(
        SlotSpec(index=i, tool="pay", call_id=f"c{i}", digest=f"d{i}", args=args) for i in range(count)
    )


def manifest(key: BatchKey = KEY, count: int = 3) -> Manifest:
    return Manifest(key=key, specs=specs(count), created=5.0, lineage="response")


def started(index: int) -> Started:
    return Started(index=index, generation=1, attempt=1, epoch=1, at=6.0, queued_at=5.5)


def lost(index: int) -> Lost:
    return Lost(index=index, generation=1, attempt=1, epoch=1, at=7.0, reason=Reason.TIMED_OUT)


def store(*rows: Row, closed: bool = False) -> MemoryStore:
    """One batch of three calls, reserved by FIRST, with these rows."""
    view = MemoryStore()
    fence = Fence(epoch=1, owner=FIRST, closed=closed)
    tenure = Tenure(epoch=1, owner=FIRST, at=5.0, why="reserved", how=Handover.RESERVED)
    view.apply(NewBatch(manifest=manifest(), fence=fence, tenure=tenure))
    for row in rows:
        view.apply(AppendRow(key=KEY, row=row, fold=view.batches[KEY].folded_with(row)))
    return view


def reserve(key: BatchKey = KEY, *, count: int = 3, adopt: Adopt = Adopt.UNFINISHED) -> Reserve:
    return Reserve(manifest=manifest(key, count), owner=SECOND, at=8.0, adopt=adopt, run_payload=SECRET)


def take_over(*, expected: int = 1, force: bool = False) -> TakeOver:
    return TakeOver(key=KEY, owner=SECOND, expected_epoch=expected, at=9.0, why="it died", force=force)


def decide(
    verdict: Verdict = Verdict.DONE, *, version: int = 2, epoch: int | None = None, index: int = 0
) -> Decide:
    return Decide(
        key=KEY,
        index=index,
        verdict=verdict,
        by="ops",
        why="asked the bank",
        decision_id="d1",
        version=version,
        at=10.0,
        outcome=Payload(codec="s", data=SECRET),
        epoch=epoch,
    )


IN_DOUBT = (started(0), lost(0))
OPERATIONS: dict[str, tuple[Operation[object], MemoryStore]] = {
    "a first reservation": (reserve(), MemoryStore()),
    "a second reservation": (reserve(), store()),
    "an adoption": (reserve(FORK), store()),
    "a start": (Append(key=KEY, row=started(0)), store()),
    "a take-over": (take_over(), store(started(1), *IN_DOUBT)),
    "a late take-over": (take_over(expected=7), store()),
    "a release": (Release(key=KEY, epoch=1), store()),
    "a decision": (decide(), store(*IN_DOUBT)),
    "a purge": (Purge(run_id="run", at=1.0, why=""), store()),
}


def snapshot(view: MemoryStore) -> object:
    batches = {key: record_of(view, state) for key, state in view.batches.items()}
    return (batches, dict(view.aliases), dict(view.lineages), dict(view.payloads), set(view.tombstones))


@pytest.mark.parametrize(("operation", "view"), OPERATIONS.values(), ids=OPERATIONS)
def test_an_operation_writes_nothing_by_itself_and_decides_the_same_again(
    operation: Operation[object], view: MemoryStore
) -> None:
    before = snapshot(view)
    first, second = operation.change(view), operation.change(view)
    assert first == second
    assert snapshot(view) == before


@pytest.mark.parametrize(("operation", "view"), OPERATIONS.values(), ids=OPERATIONS)
def test_repeating_an_operation_that_was_written_writes_nothing_more(
    operation: Operation[object], view: MemoryStore
) -> None:
    mine = MemoryStore()  # the cases are shared: work on a copy
    for key, state in view.batches.items():
        rows = [row for index in range(state.size) for row in state.rows(index)]
        mine.batches[key] = BatchState(state.manifest, state.fence, state.tenures, rows)
    mine.lineages.update(view.lineages)
    for write in operation.change(mine).writes:
        mine.apply(write)
    assert operation.change(mine).writes == ()


# --- reserve ----------------------------------------------------------------------------------------------


def test_a_first_reservation_is_one_write() -> None:
    change = reserve().change(MemoryStore())
    fence, tenure = (
        Fence(epoch=1, owner=SECOND),
        Tenure(epoch=1, owner=SECOND, at=8.0, why="reserved", how=Handover.RESERVED),
    )
    slots = change.result.record.slots
    made = NewBatch(manifest=manifest(), fence=fence, tenure=tenure, run_payload=SECRET, slots=slots)
    assert change.writes == (made,)
    assert [slot.spec for slot in slots] == list(specs(3))


def test_a_second_reservation_writes_nothing() -> None:
    view = store(started(0))
    change = reserve(count=1).change(view)
    assert change.writes == ()
    assert change.result.record == record_of(view, view.batches[KEY])


def test_an_adoption_writes_an_alias_and_nothing_else() -> None:
    change = reserve(FORK).change(store())
    assert change.writes == (PutAlias(key=FORK, target=KEY),)
    assert (change.result.key, change.result.adopted, change.result.fresh) == (KEY, True, False)


def test_a_reservation_through_an_alias_leads_to_its_target() -> None:
    view = store(started(0))
    view.aliases[FORK] = KEY
    change = reserve(FORK, adopt=Adopt.NEVER).change(view)
    assert (change.writes, change.result.key, change.result.adopted) == ((), KEY, True)


def test_an_alias_that_leads_nowhere_is_damage_and_not_a_new_batch() -> None:
    view = MemoryStore()
    view.aliases[FORK] = KEY
    with pytest.raises(JournalCorrupt, match="run/batch"):
        reserve(FORK).change(view)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("adopt", Adopt)
def test_which_batch_of_the_same_response_is_adopted(adopt: Adopt, closed: bool) -> None:
    adopted = reserve(FORK, adopt=adopt).change(store(closed=closed)).result.adopted
    assert adopted is (adopt is Adopt.ALWAYS or (adopt is Adopt.UNFINISHED and not closed))


@pytest.mark.parametrize("adopt", Adopt)
def test_a_reservation_that_asks_writes_nothing_before_it_is_told_about_a_closed_batch(adopt: Adopt) -> None:
    change = replace(reserve(FORK, adopt=adopt), ask=True).change(store(closed=True))
    assert change.result.undecided is (adopt is Adopt.UNFINISHED)
    if change.result.undecided:
        assert (change.writes, change.result.key, change.result.fresh) == ((), KEY, False)


def test_a_reservation_does_not_ask_about_a_batch_of_other_calls() -> None:
    change = replace(reserve(FORK, count=2), ask=True).change(store(closed=True))
    assert (change.result.fresh, change.result.undecided) == (True, False)


# --- take over and release --------------------------------------------------------------------------------


@pytest.mark.parametrize("lives", [True, False])
def test_a_take_over_writes_the_fence_and_a_loss_for_each_running_call(lives: bool) -> None:
    view = store(*IN_DOUBT, started(1), started(2))
    view.alive = {FIRST} if lives else set()
    change = take_over(force=lives).change(view)
    fence = Fence(epoch=2, owner=SECOND)
    how, reason = (Handover.FORCED, Reason.TAKEN_OVER) if lives else (Handover.DIED, Reason.OWNER_DIED)
    tenure = Tenure(epoch=2, owner=SECOND, at=9.0, why="it died", how=how)
    first, *losses = change.writes
    assert first == PutFence(key=KEY, fence=fence, tenure=tenure)
    expected = [
        Lost(index=index, generation=1, attempt=1, epoch=2, at=9.0, reason=reason) for index in (1, 2)
    ]
    assert [write.row for write in losses if isinstance(write, AppendRow)] == expected
    assert [slot.reason for slot in change.result.slots] == [Reason.TIMED_OUT, reason, reason]
    assert (change.result.fence, change.result.tenures[-1]) == (fence, tenure)


@pytest.mark.parametrize("expected", [0, 2])
def test_a_take_over_from_another_epoch_writes_nothing(expected: int) -> None:
    view = store(started(0))
    change = take_over(expected=expected).change(view)
    assert (change.writes, change.result) == ((), record_of(view, view.batches[KEY]))


@pytest.mark.parametrize("state", [OwnerState.ALIVE, OwnerState.UNKNOWN])
def test_a_take_over_writes_nothing_while_the_owner_may_live(
    state: OwnerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = store(started(0))
    monkeypatch.setattr(view, "owner_state", lambda _: state)
    change = take_over().change(view)
    assert (change.writes, change.result) == ((), record_of(view, view.batches[KEY]))
    assert change.result.owner_state is state
    assert take_over(force=True).change(view).writes != ()


def test_a_take_over_says_the_record_that_is_there_afterwards() -> None:
    view = store(*IN_DOUBT, started(1))
    change = take_over().change(view)
    for write in change.writes:
        view.apply(write)
    assert record_of(view, view.batches[KEY]) == change.result


@pytest.mark.parametrize("closed", [True, False])
def test_a_release_replaces_the_fence_and_keeps_the_owner(closed: bool) -> None:
    change = Release(key=KEY, epoch=1, closed=closed).change(store())
    fence = Fence(epoch=1, owner=FIRST, held=False, closed=closed)
    assert change.writes == (PutFence(key=KEY, fence=fence),)


# --- decide -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict.DONE, SlotState.SUCCEEDED),
        (Verdict.FAILED, SlotState.FAILED),
        (Verdict.RERUN, SlotState.RESERVED),
    ],
)
def test_a_decision_is_one_row_about_the_newest_attempt(verdict: Verdict, state: SlotState) -> None:
    (write,) = decide(verdict).change(store(*IN_DOUBT)).writes
    assert isinstance(write, AppendRow)
    assert isinstance(write.row, Decided)
    assert (write.row.attempt, write.row.generation, write.row.epoch) == (1, 1, 1)
    assert (write.fold.state, write.fold.decision) == (state, write.row)


# --- refusals ---------------------------------------------------------------------------------------------


def purged() -> MemoryStore:
    view = store()
    view.apply(DropRun(run_id="run", at=1.0, why=""))
    return view


@pytest.mark.parametrize(
    ("operation", "view", "error", "says"),
    [
        (reserve(), purged, RunPurged, ("'run'", "purged", "use a new run id")),
        (reserve(FORK), purged, RunPurged, ("'run'",)),
        (take_over(), purged, RunPurged, ("purged", "nothing was recorded")),
        (Release(key=KEY, epoch=1), purged, RunPurged, ("purged",)),
        (decide(), purged, RunPurged, ("purged",)),
        (take_over(), MemoryStore, JournalCorrupt, ("run/batch", "toolslot doctor")),
        (Release(key=KEY, epoch=2), store, Fenced, ("epoch 2", "epoch 1", "first", "stop working")),
        (decide(epoch=2), lambda: store(*IN_DOUBT), Fenced, ("epoch 2", "epoch 1")),
        (decide(), store, DecisionRefused, ("call 0 (pay)", "run/batch", "reserved", "nothing to decide")),
        (
            decide(version=1),
            lambda: store(*IN_DOUBT),
            DecisionRefused,
            ("version 2", "version 1", "then decide"),
        ),
        (
            decide(Verdict.RERUN),
            lambda: store(*IN_DOUBT, closed=True),
            BatchClosed,
            ("cannot run again", "closed"),
        ),
        (decide(index=3), store, BatchMismatch, ("3 calls", "no 3")),
        (decide(index=-1), store, BatchMismatch, ("no -1",)),
    ],
)
def test_a_refusal_says_what_was_found_and_shows_no_values(
    operation: Operation[object],
    view: Callable[[], MemoryStore],
    error: type[ToolslotError],
    says: tuple[str, ...],
) -> None:
    with pytest.raises(error) as raised:
        operation.change(view())
    message = str(raised.value)
    assert [part for part in says if part not in message] == []
    assert SECRET.decode() not in message


# --- aliases ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        replace(take_over(), key=FORK),
        Release(key=FORK, epoch=1),
        replace(decide(), key=FORK),
        Append(key=FORK, row=started(1)),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_is_written_through_an_alias_goes_to_its_target(operation: Operation[object]) -> None:
    view = store(*IN_DOUBT)
    view.aliases[FORK] = KEY
    writes = operation.change(view).writes
    assert writes
    assert {write.key for write in writes if isinstance(write, (AppendRow, PutFence))} == {KEY}
