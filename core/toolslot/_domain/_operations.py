"""The journal's verbs. Each is a frozen request whose `change` decides, without I/O, what is written.

Every verb is idempotent (repeating it changes nothing more) and fenced: a write that carries an old epoch
never changes a slot. A batch may be named by a key that adopted it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol, TypeVar

from toolslot._codec import ErrorRecord, Payload
from toolslot._domain._before import missing, over, refuse_changed, refuse_outdated
from toolslot._domain._effect_standing import before_purge, doubt_of
from toolslot._domain._fold import fold_slot
from toolslot._domain._identity import Owner
from toolslot._domain._slot import (
    BatchKey,
    BatchRecord,
    Decided,
    Fence,
    Handover,
    Lost,
    Manifest,
    Reason,
    Row,
    SlotRecord,
    SlotState,
    Started,
    Tenure,
    Verdict,
    Witness,
)
from toolslot._domain._state import (
    AppendRow,
    BatchState,
    Change,
    DropRun,
    JournalView,
    NewBatch,
    PutAlias,
    PutFence,
    record_of,
)
from toolslot._errors import BatchClosed, BatchMismatch, DecisionRefused, Fenced, JournalCorrupt, RunPurged
from toolslot._text import quoted, shown

T_co = TypeVar("T_co", covariant=True)


class Operation(Protocol[T_co]):
    """A request to the journal.

    `change` is pure and quick; a back end calls it inside its transaction, perhaps more than once.
    """

    def change(self, view: JournalView) -> Change[T_co]:
        """What to write. Raises a `ToolslotError` when nothing may be written."""
        ...


class Adopt(str, Enum):
    """What a reservation does with an earlier batch of the same model response (a fork of it)."""

    #: take over its slots unless its answers were already handed over and, if the host is asked, kept
    UNFINISHED = "adopt_unfinished"
    #: never: run everything again
    NEVER = "rerun"
    #: always: never repeat an effect, not even on time travel
    ALWAYS = "replay"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Where the slots are (elsewhere after adoption), the record, and whether this operation made it.

    `undecided`: it is the earlier batch of the lineage, which is closed, and nothing was written. `missing`: the host holds answers of
    which the journal has no record; nothing was written if that is to be refused.
    """

    key: BatchKey
    record: BatchRecord
    fresh: bool
    adopted: bool = False
    undecided: bool = False
    missing: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserve:
    """Write N reserved slots at once, unless they are there already.

    Never changes an existing batch or its ownership. With no calls it is let go and closed at once.
    """

    manifest: Manifest
    owner: Owner
    at: float
    adopt: Adopt = Adopt.UNFINISHED
    #: with `Adopt.UNFINISHED`: write nothing when the lineage has a closed batch, but tell of it
    ask: bool = False
    run_payload: bytes | None = None
    #: both are kept with the ownership, for views
    limit: int | None = None
    trace: str | None = None
    #: lineages of earlier responses, the newest first: the host has their answers, so what is over of them is closed
    follows: Sequence[str] = ()
    #: the host named batches by other rules in format 1: what the name of a batch of the same place has in it
    former: str | None = None
    #: what the host holds of earlier work; with `refuse_missing` nothing is written when the journal knows nothing of it
    witness: Witness | None = None
    refuse_missing: bool = False
    #: a person edited the response: then calls of it that were in flight may be others now
    by_hand: bool = False
    #: marks of calls that are entered at once; written only where the slots are new
    starts: tuple[Started, ...] = ()

    def change(self, view: JournalView) -> Change[Reservation]:
        key = self.manifest.key
        if view.forgotten(key, self.manifest.lineage):
            raise RunPurged(
                f"batch {key} is purged: it was deleted from the journal with run {quoted(key.run_id)} as it was then, so what it did is no"
                " longer known. Taking it for a new one would run its calls again. Nothing was run: let the model answer again, or use a"
                " new run id."
            )
        alias = view.alias(key)
        if alias is not None:
            target = existing(view, alias)
            found = Reservation(key=target.key, record=record_of(view, target), fresh=False, adopted=True)
            return Change((), found)
        state = view.state(key)
        if state is not None:
            return Change((), Reservation(key=key, record=record_of(view, state), fresh=False))
        earlier = self._earlier(view)
        if earlier is not None and (not earlier.fence.closed or self.adopt is Adopt.ALWAYS):
            found = Reservation(key=earlier.key, record=record_of(view, earlier), fresh=False, adopted=True)
            return Change((PutAlias(key=key, target=earlier.key),), found)
        if earlier is not None and self.ask:
            return Change(
                (), Reservation(key=earlier.key, record=record_of(view, earlier), fresh=False, undecided=True)
            )
        refuse_outdated(view, self.manifest, self.former)
        if not (self.by_hand or self.adopt is Adopt.NEVER):
            refuse_changed(view, self.manifest)
        # Nothing would be done for it any more but to close it, in a commit of its own, and might die before that.
        some = bool(self.manifest.specs)
        fence = Fence(epoch=1, owner=self.owner, held=some, closed=not some)
        tenure = Tenure(
            epoch=1,
            owner=self.owner,
            at=self.at,
            why="reserved",
            how=Handover.RESERVED,
            limit=self.limit,
            trace=self.trace,
        )
        made = BatchState(self.manifest, fence, (tenure,))
        slots = made.slots()
        begun = tuple(self._begin(made, mark) for mark in self.starts)
        record = record_of(view, made)
        lost = missing(view, key.run_id, self.witness)
        if lost and self.refuse_missing:
            return Change((), Reservation(key=key, record=record, fresh=False, missing=True))
        write = NewBatch(
            manifest=self.manifest, fence=fence, tenure=tenure, run_payload=self.run_payload, slots=slots
        )
        return Change(
            (*over(view, key.run_id, self.follows), write, *begun),
            Reservation(key=key, record=record, fresh=True, missing=lost),
        )

    def _begin(self, state: BatchState, mark: Started) -> AppendRow:
        fold = state.folded_with(mark)
        state.append(mark, fold)
        return AppendRow(key=state.key, row=mark, fold=fold)

    def _earlier(self, view: JournalView) -> BatchState | None:
        """The batch that may be adopted: of the same response, with the same calls."""
        manifest = self.manifest
        if manifest.lineage is None or self.adopt is Adopt.NEVER:
            return None
        earlier_key = view.lineage(manifest.key.run_id, manifest.lineage)
        earlier = view.state(earlier_key) if earlier_key is not None else None
        if earlier is None:
            return None
        same = len(earlier.manifest.specs) == len(manifest.specs) and all(
            (a.tool, a.call_id) == (b.tool, b.call_id) and b.same_arguments(a)
            for a, b in zip(earlier.manifest.specs, manifest.specs, strict=True)
        )
        return earlier if same else None


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeOver:
    """Become the owner, if the epoch is still `expected_epoch` and its owner is dead or has let go; else nothing is written, and the
    record comes back as it is now.

    Whatever the old owner left RUNNING becomes UNKNOWN in the same commit. With `force` it is taken from an owner that may be alive, too,
    which the slots' reason and the tenure's `how` keep.
    """

    key: BatchKey
    owner: Owner
    expected_epoch: int
    at: float
    why: str
    force: bool = False
    #: all three are kept with the ownership, for views
    limit: int | None = None
    trace: str | None = None
    by: str | None = None

    def change(self, view: JournalView) -> Change[BatchRecord]:
        state = existing(view, self.key)
        now = record_of(view, state)
        if state.fence.epoch != self.expected_epoch or (now.held and not self.force):
            return Change((), now)
        epoch = self.expected_epoch + 1
        fence = Fence(epoch=epoch, owner=self.owner, closed=state.fence.closed)
        tenure = Tenure(
            epoch=epoch,
            owner=self.owner,
            at=self.at,
            why=self.why,
            how=_how(now),
            limit=self.limit,
            trace=self.trace,
            by=self.by,
        )
        slots = now.slots
        reason = Reason.TAKEN_OVER if now.held else Reason.OWNER_DIED
        lost = tuple(
            self._lose(state, slot, epoch, reason) for slot in slots if slot.state is SlotState.RUNNING
        )
        folds = {write.row.index: write.fold for write in lost}
        record = BatchRecord(
            manifest=state.manifest,
            fence=fence,
            slots=tuple(folds.get(index, slot) for index, slot in enumerate(slots)),
            owner_state=view.owner_state(self.owner),
            tenures=(*state.tenures, tenure),
        )
        return Change((PutFence(key=state.key, fence=fence, tenure=tenure), *lost), record)

    def _lose(self, state: BatchState, slot: SlotRecord, epoch: int, reason: Reason) -> AppendRow:
        row = Lost(
            index=slot.index,
            generation=slot.generation,
            attempt=slot.attempt,
            epoch=epoch,
            at=self.at,
            reason=reason,
        )
        return AppendRow(key=state.key, row=row, fold=state.folded_with(row))


def _how(before: BatchRecord) -> Handover:
    if not before.fence.held:
        return Handover.LET_GO
    return Handover.FORCED if before.held else Handover.DIED


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Let the batch go: nothing of it starts until it is taken over.

    With `closed`, its answers were handed over and nothing of it will run any more.
    """

    key: BatchKey
    epoch: int
    closed: bool = False

    def change(self, view: JournalView) -> Change[None]:
        state = existing(view, self.key)
        check_epoch(state, self.epoch)
        fence = replace(state.fence, held=False, closed=state.fence.closed or self.closed)
        return Change(() if fence == state.fence else (PutFence(key=state.key, fence=fence),), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    """Settle an UNKNOWN slot, or have it run again. Of a call with an effect key also one that looks unknown to whoever asks for the effect
    again: it failed, or its owner is dead; such a one may be decided in a closed batch, too, to have the effect had by another call.

    `epoch` is given by the batch's owner (a reconciler's answer) and None by an operator from outside.
    Repeating the very same decision changes nothing and is no error.

    Raises:
        DecisionRefused: the slot is not UNKNOWN, or not at `version` any more.
        BatchClosed: nothing of the batch can run again.
    """

    key: BatchKey
    index: int
    verdict: Verdict
    by: str
    why: str
    decision_id: str
    version: int
    at: float
    outcome: Payload | None = None
    error: ErrorRecord | None = None
    epoch: int | None = None
    content: Payload | None = None

    def change(self, view: JournalView) -> Change[SlotRecord]:
        state = existing(view, self.key)
        if self.epoch is not None:
            check_epoch(state, self.epoch)
        slot = slot_at(state, self.index)
        row = self._row(state, slot)
        if row in state.rows(self.index):
            return Change((), slot)
        doubt = doubt_of(record_of(view, state), slot) if slot.effect is not None else None
        self._check(state, slot, doubtful=doubt is not None)
        rows: tuple[Row, ...] = (row,) if doubt is None else (self._lost(state, slot, doubt), row)
        before = state.rows(self.index)
        folds = [
            fold_slot(state.manifest.specs[self.index], (*before, *rows[: n + 1])) for n in range(len(rows))
        ]
        writes = [
            AppendRow(key=state.key, row=each, fold=fold) for each, fold in zip(rows, folds, strict=True)
        ]
        return Change(tuple(writes), folds[-1])

    def _lost(self, state: BatchState, slot: SlotRecord, reason: Reason) -> Lost:
        return Lost(
            index=self.index,
            generation=slot.generation,
            attempt=slot.attempt,
            epoch=state.fence.epoch,
            at=self.at,
            reason=reason,
        )

    def _check(self, state: BatchState, slot: SlotRecord, *, doubtful: bool) -> None:
        what = f"call {self.index} ({shown(slot.spec.tool)}) of batch {state.key}"
        if slot.state is not SlotState.UNKNOWN and not doubtful:
            raise DecisionRefused(f"{what} is {slot.state.value}, not unknown: there is nothing to decide.")
        if slot.version != self.version:
            raise DecisionRefused(
                f"{what} is at version {slot.version}, the decision was made on version {self.version}:"
                " something was recorded meanwhile. Look at it again, then decide."
            )
        if state.fence.closed and self.verdict is Verdict.RERUN and slot.effect is None:
            raise BatchClosed(f"{what} cannot run again: the batch is closed, its answers were handed over.")

    def _row(self, state: BatchState, slot: SlotRecord) -> Decided:
        return Decided(
            index=self.index,
            generation=slot.generation,
            attempt=slot.attempt,
            epoch=state.fence.epoch,
            at=self.at,
            verdict=self.verdict,
            by=self.by,
            why=self.why,
            decision_id=self.decision_id,
            version=self.version,
            outcome=self.outcome,
            error=self.error,
            content=self.content,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Purge:
    """Forget the batches that a run has: a tombstone for each, then their rows go. Later batches of the run are taken as ever. Of the
    effects that its calls had, it is kept that they were had.

    The caller has made sure that no living owner works on it.

    Raises:
        EffectUnsettled: a call with an effect key is under way, or of unknown outcome.
    """

    run_id: str
    at: float
    why: str

    def change(self, view: JournalView) -> Change[None]:
        if view.purged(self.run_id) and not view.holds(self.run_id):
            return Change((), None)
        effects = before_purge(view, self.run_id, self.at)
        return Change((*effects, DropRun(run_id=self.run_id, at=self.at, why=self.why)), None)


def existing(view: JournalView, key: BatchKey) -> BatchState:
    """The batch reserved under `key`, or adopted by it.

    Raises:
        RunPurged: the run was purged while its owner worked on it.
        JournalCorrupt: the journal does not hold the batch.
    """
    state = view.state(key)
    if state is not None:
        return state
    if view.forgotten(key):
        raise RunPurged(
            f"run {quoted(key.run_id)} was purged from the journal while batch {key} was worked on; nothing was"
            " recorded."
        )
    alias = view.alias(key)
    state = view.state(alias) if alias is not None else None
    if state is None:
        raise JournalCorrupt(
            f"the journal does not hold batch {key}, which was reserved before. Run `toolslot doctor` on it."
        )
    return state


def slot_at(state: BatchState, index: int) -> SlotRecord:
    """The slot, which must be one of the batch's.

    Raises:
        BatchMismatch: the batch was reserved with fewer calls.
    """
    if not 0 <= index < state.size:
        raise BatchMismatch(
            f"batch {state.key} was reserved with {state.size} calls, counted from 0: there is no {index}."
        )
    return state.slot(index)


def check_epoch(state: BatchState, epoch: int) -> None:
    """Raises `Fenced` unless `epoch` is the batch's current one."""
    if state.fence.epoch != epoch:
        raise Fenced(
            f"batch {state.key} was taken over: this owner works with epoch {epoch}, the journal is at epoch"
            f" {state.fence.epoch} (held by {state.fence.owner}). Nothing was changed; stop working on it."
        )
