"""The journal's memory of one batch, and what an operation may look at and ask to be written.

A back end keeps `BatchState` objects (or rebuilds them from its rows), runs an operation's `change` on them
inside one transaction, and writes exactly the `Write`s it returned. All semantics (fencing, write-once,
finality) live in the operations, so every back end has the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from toolslot._domain._effects import Effect
from toolslot._domain._fold import fold_slot
from toolslot._domain._identity import Owner, OwnerState
from toolslot._domain._slot import (
    BatchHistory,
    BatchKey,
    BatchRecord,
    Fence,
    Manifest,
    Row,
    SlotRecord,
    Tenure,
)
from toolslot._errors import ToolslotError

T_co = TypeVar("T_co", covariant=True)


class BatchState:
    """One batch as a back end holds it: manifest, fence, tenures and all rows.

    Mutable, and owned by one back end under its lock; what leaves it (`record`, `slot`) is frozen. The fold
    of every touched slot is cached.
    """

    __slots__ = ("_folds", "_rows", "fence", "key", "manifest", "size", "tenures")

    def __init__(
        self,
        manifest: Manifest,
        fence: Fence,
        tenures: tuple[Tenure, ...],
        rows: Iterable[Row] = (),
        slots: Iterable[SlotRecord] = (),
    ) -> None:
        """`slots`: those that are known already, as the rows tell them."""
        self.manifest: Manifest = manifest
        self.key: BatchKey = manifest.key
        self.size: int = len(manifest.specs)
        self.fence: Fence = fence
        self.tenures: tuple[Tenure, ...] = tenures
        self._folds: dict[int, SlotRecord] = dict(enumerate(slots))
        by_index: dict[int, list[Row]] = {}
        for row in rows:
            by_index.setdefault(row.index, []).append(row)
        self._rows = {index: tuple(found) for index, found in by_index.items()}

    def rows(self, index: int) -> tuple[Row, ...]:
        """The rows of one slot in the order they were written, all generations and attempts."""
        return self._rows.get(index, ())

    def slot_of(self, index: int, generation: int) -> SlotRecord:
        """The call that had this index in that generation."""
        newest = self.slot(index)
        if newest.generation == generation:
            return newest
        rows = [row for row in self.rows(index) if row.generation == generation]
        return fold_slot(self.manifest.specs[index], rows)

    def slot(self, index: int) -> SlotRecord:
        fold = self._folds.get(index)
        if fold is None:
            fold = self._folds[index] = fold_slot(self.manifest.specs[index], self._rows.get(index, ()))
        return fold

    def folded_with(self, row: Row) -> SlotRecord:
        """The slot as it will be once `row` is written; changes nothing."""
        return fold_slot(self.manifest.specs[row.index], (*self._rows.get(row.index, ()), row))

    def slots(self) -> tuple[SlotRecord, ...]:
        return tuple(self.slot(i) for i in range(self.size))

    def record(self, owner_state: OwnerState) -> BatchRecord:
        """`owner_state`: of the fence's owner."""
        return BatchRecord(
            manifest=self.manifest,
            fence=self.fence,
            slots=self.slots(),
            owner_state=owner_state,
            tenures=self.tenures,
        )

    def append(self, row: Row, fold: SlotRecord | None = None) -> None:
        self._rows[row.index] = (*self._rows.get(row.index, ()), row)
        if fold is None:
            self._folds.pop(row.index, None)
        else:
            self._folds[row.index] = fold


class JournalView(Protocol):
    """What an operation may read: one snapshot, inside the transaction that will hold its writes."""

    @property
    def journal_id(self) -> str:
        """What names the journal, for as long as it exists."""
        ...

    def state(self, key: BatchKey) -> BatchState | None:
        """The batch reserved under exactly this key; aliases are not followed."""
        ...

    def alias(self, key: BatchKey) -> BatchKey | None:
        """The batch that `key` adopted, if it did."""
        ...

    def owner_state(self, owner: Owner) -> OwnerState:
        """Whether that owner can still be at work. DEAD only when that is certain; an owner of this process is alive while enlisted."""
        ...

    def lineage(self, run_id: str, lineage: str) -> BatchKey | None:
        """The newest batch that was reserved for this model response."""
        ...

    def purged(self, run_id: str) -> bool:
        """Whether the run was purged, once or more often."""
        ...

    def holds(self, run_id: str) -> bool:
        """Whether there is anything of the run that a purge could forget."""
        ...

    def outdated(self, run_id: str) -> Sequence[BatchKey]:
        """The run's batches from format 1, in which hosts named batches by other rules."""
        ...

    def forgotten(self, key: BatchKey, lineage: str | None = None) -> bool:
        """Whether a purge forgot the batch, one that had adopted another under this key, or one of this lineage in its run."""
        ...

    def effect(self, digest: str) -> Effect | None:
        """The effect of this digest, if a call has claimed it."""
        ...

    def effects_of(self, run_id: str) -> Sequence[Effect]:
        """Those that calls of the run hold."""
        ...


def record_of(view: JournalView, state: BatchState) -> BatchRecord:
    """The batch as it is in that snapshot, its owner's state included."""
    return state.record(view.owner_state(state.fence.owner))


def history_of(view: JournalView, state: BatchState) -> BatchHistory:
    """The same with every row."""
    rows = tuple(state.rows(index) for index in range(state.size))
    return BatchHistory(record=record_of(view, state), rows=rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBatch:
    """A reservation: manifest, first fence and first tenure, with the lineage index and the run's payload.

    A run keeps the first payload that is not None.
    """

    manifest: Manifest
    fence: Fence
    tenure: Tenure
    run_payload: bytes | None = None
    #: as they are with the reservation alone, when the operation knows them
    slots: tuple[SlotRecord, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PutFence:
    """Replaces the fence; `tenure` is set when the owner changed."""

    key: BatchKey
    fence: Fence
    tenure: Tenure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AppendRow:
    """One more write-once row. `fold` is the slot as it is with the row, as the operation computed it."""

    key: BatchKey
    row: Row
    fold: SlotRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class PutAlias:
    """`key` stands for the slots of `target` from now on."""

    key: BatchKey
    target: BatchKey


@dataclass(frozen=True, kw_only=True, slots=True)
class DropRun:
    """Tombstones of the batches that the run has now, and of their aliases and lineages; their rows may go in pieces afterwards."""

    run_id: str
    at: float
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PutEffect:
    """Writes or replaces the record of an effect. `before` is what is replaced."""

    effect: Effect
    before: Effect | None = None


Write: TypeAlias = NewBatch | PutFence | AppendRow | PutAlias | DropRun | PutEffect


@dataclass(frozen=True, slots=True)
class Change(Generic[T_co]):
    """What to write, and what the caller gets once that is durable.

    That is `result`, or `refusal`, which is raised although the writes are kept.
    """

    writes: tuple[Write, ...]
    result: T_co
    refusal: ToolslotError | None = None
