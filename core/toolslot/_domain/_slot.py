"""The records of the domain: a call, a batch, a slot, and the journal rows that tell a slot's state.

Rows are write-once: a slot's state is computed from them (`_fold.py`), never stored, so a crash between two
rows always leaves one of the states below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

from typing_extensions import override

from toolslot._codec import ErrorRecord, Payload
from toolslot._domain._effect_names import EffectMark, NamedEffect, NoKey
from toolslot._domain._identity import Owner, OwnerState, idempotency_key
from toolslot._text import shown


class SlotState(str, Enum):
    """Where one call stands. `SUCCEEDED` and decided slots are final."""

    #: certainly not done; recovery just runs it
    RESERVED = "reserved"
    #: its code was entered by an owner that has not reported yet
    RUNNING = "running"
    #: stopped at a question to a human; nothing of it runs until it is answered
    WAITING = "waiting"
    #: its result is recorded
    SUCCEEDED = "succeeded"
    #: its failure is recorded
    FAILED = "failed"
    #: it began and left no record: only its policy, its reconciler or an operator can settle it
    UNKNOWN = "unknown"


class Reason(str, Enum):
    """Why a slot is UNKNOWN."""

    OWNER_DIED = "owner died"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    #: the call raised an exception that crashed the run and may have had its effect
    ESCAPED = "failed"
    TAKEN_OVER = "taken over by force"


class Verdict(str, Enum):
    """What an operator or reconciler decided about a slot."""

    DONE = "done"
    FAILED = "failed"
    RERUN = "rerun"


class BatchKey(NamedTuple):
    """A batch's place: the run and the batch within it. Both are the caller's strings, never interpreted."""

    run_id: str
    batch_id: str

    @override
    def __str__(self) -> str:
        """For messages: shortened, and what cannot be printed is written out, so two keys may look the same."""
        return f"{shown(self.run_id)}/{shown(self.batch_id)}"


@dataclass(frozen=True, slots=True)
class SlotPlace:
    """One call of the journal: its batch, its index there, and which call of those that had this index."""

    batch: BatchKey
    index: int
    generation: int

    @override
    def __str__(self) -> str:
        return f"call {self.index} of batch {self.batch}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One tool call as the model asked for it. `args` must be the model's own, without injected values."""

    tool: str
    # Not in the repr: arguments may be secrets, and reprs end up in logs.
    args: Mapping[str, object] = field(default_factory=lambda: {}, repr=False)
    call_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The calls of one model response, in the model's order.

    `lineage` names the response independently of the batch id, so that a fork of an unfinished batch can find
    it again.
    """

    run_id: str
    batch_id: str
    calls: Sequence[Call]
    lineage: str | None = None
    adapter: str = "core"
    payload: bytes | None = field(default=None, repr=False)
    run_payload: bytes | None = field(default=None, repr=False)
    #: lineages of earlier responses of the conversation, the newest first; the host has all their answers
    follows: Sequence[str] = ()
    #: for hosts whose batches had other names in journals of format 1: what the name of a batch of the same place has in it
    former: str | None = None
    #: what the host holds of earlier work; `refuse_missing`: do not run when the journal knows nothing of it
    witness: Witness | None = None
    refuse_missing: bool = False
    #: a person edited the response: then calls of it that were in flight may be others now
    by_hand: bool = False

    @property
    def key(self) -> BatchKey:
        return BatchKey(self.run_id, self.batch_id)


class Witness(str, Enum):
    """What a host holds that only a journal's batches can have made."""

    #: answers to calls of the run
    RUN = "run"
    #: answers to calls of this very batch
    BATCH = "batch"


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotSpec:
    """What a slot was reserved for. `digest` is None when the arguments could not be normalised, or are not stored."""

    index: int
    tool: str
    call_id: str
    digest: str | None
    args: Payload
    #: no start mark is written: views say "reserved or running"
    idempotent: bool = False
    #: False: nothing of the call is stored but its place, neither arguments nor what comes of it
    recorded: bool = True
    #: of a call that is presented to an encrypted journal: its digest by the rule of what was recorded there before. Never stored
    unkeyed: str | None = field(default=None, compare=False, repr=False)
    #: of a call that is presented: the effect that it names. Never stored
    effect: NamedEffect | NoKey | None = field(default=None, compare=False, repr=False)

    def same_arguments(self, recorded: SlotSpec) -> bool:
        """Whether this call, presented now, has the arguments of the recorded one."""
        if not (self.recorded and recorded.recorded):
            return True  # the arguments of one of them are not known
        return recorded.digest == self.digest or (
            self.unkeyed is not None and recorded.digest == self.unkeyed
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The immutable record of a reservation: N slots in the model's order."""

    key: BatchKey
    specs: tuple[SlotSpec, ...]
    created: float
    adapter: str = "core"
    lineage: str | None = None
    payload: bytes | None = None

    @classmethod
    def of(cls, batch: Batch, specs: tuple[SlotSpec, ...], created: float) -> Manifest:
        return cls(
            key=batch.key,
            specs=specs,
            created=created,
            adapter=batch.adapter,
            lineage=batch.lineage,
            payload=batch.payload,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """Who may write a batch.

    `held` is False once the owner let go; `closed` means that all answers were handed over.
    """

    epoch: int
    owner: Owner
    held: bool = True
    closed: bool = False


class Handover(str, Enum):
    """How an owner came to hold a batch."""

    #: it reserved the batch
    RESERVED = "reserved"
    #: the one before had let go
    LET_GO = "let go"
    #: the one before was dead
    DIED = "died"
    #: the one before may have been alive
    FORCED = "forced"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenure:
    """One ownership of a batch, kept for ever: who held which epoch, since when, and why it was taken.

    `limit`: calls of the batch that this owner lets run at once. `trace`: where a hook of this owner told of the batch (a W3C
    `traceparent`). All three are None where they were not recorded. `by`: the person who took the batch to move it on or to end it, None
    for an agent.
    """

    epoch: int
    owner: Owner
    at: float
    why: str = ""
    how: Handover | None = None
    limit: int | None = None
    trace: str | None = None
    by: str | None = None


# --- rows: write-once facts about one attempt of one slot ---------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class RowBase:
    """What every row says.

    `generation` counts the calls at this index (from 1), `attempt` the entries of the tool's code (from 1,
    and 0 in `Regenerated`). `at` is wall-clock seconds.
    """

    index: int
    generation: int
    attempt: int
    epoch: int
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Started(RowBase):
    """Durable before the tool's code is entered. `effect`: what was claimed in the same transaction."""

    queued_at: float
    effect: EffectMark | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawn(RowBase):
    """The attempt certainly did not happen: never entered, or the reconciler says it was not done."""

    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Paused(RowBase):
    """The attempt stopped at a question to a human."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost(RowBase):
    """The attempt's outcome is not known."""

    reason: Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished(RowBase):
    """The attempt's outcome.

    `escaped` means that the failure crashed the run instead of becoming an answer for the model.
    """

    outcome: Payload | None
    error: ErrorRecord | None = None
    failed: bool = False
    escaped: bool = False
    queued_at: float = 0.0
    started_at: float = 0.0
    #: of a call with an effect key: what its outcome says in every host, where `outcome` is of one alone
    content: Payload | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided(RowBase):
    """A reconciler's or an operator's word about an UNKNOWN attempt.

    `version` is the slot's version it was decided on.
    """

    verdict: Verdict
    by: str
    why: str
    decision_id: str
    version: int
    outcome: Payload | None = None
    error: ErrorRecord | None = None
    content: Payload | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deduplicated(RowBase):
    """The call was not entered: its effect is on record as done by the call at `holder`, whose outcome it got."""

    holder: SlotPlace
    effect: EffectMark
    outcome: Payload | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused(RowBase):
    """The call was not entered and never will be, for what is known of its effect; `error` is its answer."""

    error: ErrorRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence(RowBase):
    """A late result that could not count any more; shown to the person who decides."""

    outcome: Payload | None
    error: ErrorRecord | None = None
    failed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered(RowBase):
    """What the agent was told about a slot that could not be settled; replays once the batch is closed."""

    outcome: Payload | None
    error: ErrorRecord | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted(RowBase):
    """What the tool's code said of itself while it ran: an id that it was given, how far it came. `note` is what `encode_note` makes."""

    note: Payload


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeated(RowBase):
    """A call with a recorded answer was run once more, for what it leaves in the memory of `process`, the token of one.

    What it gave is the answer from then on. No owner's business: any epoch will do, and a closed batch takes it.
    """

    process: str
    outcome: Payload | None
    failed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Regenerated(RowBase):
    """Another call took this index (lenient matching).

    `generation` is the new call's; the rows of the old one stay.
    """

    spec: SlotSpec


#: notes of a call that are kept
MOST_NOTES = 50

#: rows that move the newest attempt on
AttemptRow: TypeAlias = (
    Started | Withdrawn | Paused | Lost | Finished | Decided | Delivered | Deduplicated | Refused
)
Row: TypeAlias = AttemptRow | Noted | Evidence | Repeated | Regenerated


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotRecord:
    """A slot as its rows tell it: what `fold_slot` makes of them.

    `attempt` is the newest attempt begun (0: none). `version` counts the rows; a decision quotes it.
    """

    spec: SlotSpec
    generation: int = 1
    state: SlotState = SlotState.RESERVED
    attempt: int = 0
    version: int = 0
    epoch: int = 0
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reason: Reason | None = None
    outcome: Payload | None = None
    error: ErrorRecord | None = None
    #: the failure crashed the run: `on_failed` decides, it is not an answer
    escaped: bool = False
    decision: Decided | None = None
    delivered: Delivered | None = None
    evidence: tuple[Evidence, ...] = ()
    #: of all attempts of this generation, the newest `MOST_NOTES`, oldest first
    notes: tuple[Noted, ...] = ()
    #: the processes that ran it once more although its answer was recorded
    repeated_in: tuple[str, ...] = ()
    #: the effect that its newest attempt has claimed, or that it was spared for
    effect: EffectMark | None = None
    #: whose result this is: the call was not entered
    holder: SlotPlace | None = None
    #: the call was not entered, and `error` is its answer
    refused: bool = False
    #: as in `Finished`
    content: Payload | None = None

    @property
    def index(self) -> int:
        return self.spec.index

    def key_in(self, batch: BatchKey) -> str:
        """The call's idempotency key, its effect's if it has one. `batch`: the one that was reserved first, not one that adopted it."""
        if self.effect is not None:
            return self.effect.idempotency_key
        return idempotency_key(batch.run_id, batch.batch_id, self.spec.index, self.generation)

    @property
    def final(self) -> bool:
        """Whether no recovery can change it: a result, or a failure that reached the agent or was decided."""
        return self.state is SlotState.SUCCEEDED or (self.state is SlotState.FAILED and not self.escaped)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do about it; of a call of which nothing is recorded it cannot be told, and no one is asked."""
        return self.final or not (self.spec.recorded or self.version)

    @property
    def over(self) -> bool:
        """Whether it has an answer that was handed out, or was never entered."""
        unentered = self.state is SlotState.RESERVED and not self.attempt
        return self.final or self.delivered is not None or unentered


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchRecord:
    """All the journal knows of one batch, from one snapshot. `owner_state` is that of the fence's owner at that moment."""

    manifest: Manifest
    fence: Fence
    slots: tuple[SlotRecord, ...]
    owner_state: OwnerState
    tenures: tuple[Tenure, ...] = ()

    @property
    def key(self) -> BatchKey:
        return self.manifest.key

    @property
    def settled(self) -> bool:
        return all(slot.settled for slot in self.slots)

    @property
    def held(self) -> bool:
        """Whether an owner has it that is or may be alive; dead, it is as good as none."""
        return self.fence.held and self.owner_state is not OwnerState.DEAD


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchHistory:
    """A batch with all its rows, from one snapshot: `rows[i]` are those of slot `i`, in the order they were written."""

    record: BatchRecord
    rows: tuple[tuple[Row, ...], ...]
