"""What views show: plain frozen records, times as wall-clock seconds. Texts come from models and users as they are: escape them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from typing_extensions import override

from toolslot._domain._identity import OwnerState
from toolslot._domain._slot import BatchKey, Handover, Reason, SlotPlace, SlotState, Verdict
from toolslot._domain._view import NoteView


class BatchStatus(str, Enum):
    """Where a batch stands."""

    #: a living owner works on it
    RUNNING = "running"
    #: no living process works on it, and some calls have no result; a resume goes on with it
    INTERRUPTED = "interrupted"
    #: as INTERRUPTED, and the outcome of some calls is unknown
    UNKNOWN = "unknown"
    #: every call has its result
    FINISHED = "finished"
    #: its answers were handed over, or it was abandoned; nothing of it runs any more
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptView:
    """One entry of a call's code. `state` is how it ended; RESERVED: it was taken back and did not run.

    `ended_at` of one that was lost is when that was noticed; `until` the last moment at which it can have been at work.
    """

    generation: int
    number: int
    epoch: int
    state: SlotState
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    until: float | None = None
    reason: Reason | None = None
    error_type: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionView:
    """Who settled a call, how, when and why."""

    verdict: Verdict
    by: str
    why: str
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LateResult:
    """What an attempt reported after it was given up: it changed nothing, and helps the person who decides about the call.

    `result` and `error` are None unless they were asked for.
    """

    attempt: int
    at: float
    failed: bool
    error_type: str | None = None
    result: str | None = field(default=None, repr=False)
    error: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceView:
    """Where another call is recorded."""

    run_id: str
    batch_id: str
    index: int
    generation: int

    @classmethod
    def of(cls, place: SlotPlace) -> PlaceView:
        run_id, batch_id = place.batch
        return cls(run_id=run_id, batch_id=batch_id, index=place.index, generation=place.generation)

    @override
    def __str__(self) -> str:
        """For people: shortened, and made safe."""
        return str(SlotPlace(BatchKey(self.run_id, self.batch_id), self.index, self.generation))


@dataclass(frozen=True, kw_only=True, slots=True)
class CallView:
    """One call. `state` is as recovery will find it: a call that a dead owner left running is UNKNOWN.

    `queued` and `latency` are seconds of the newest attempt. `replayed`: a later owner found its result in the journal. `args`, `result`
    and `error` are None unless they were asked for: they may hold secrets. `version` is what a decision quotes.
    """

    run_id: str
    batch_id: str
    index: int
    tool: str
    call_id: str
    state: SlotState
    version: int
    attempt: int
    generation: int
    idempotency_key: str
    idempotent: bool = False
    #: False: nothing of the call is recorded but its place (`record=False`), so `state` says nothing about it
    recorded: bool = True
    reason: Reason | None = None
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    replayed: bool = False
    #: how often it was run again, on resume, although its answer was recorded
    repeats: int = 0
    #: the failure crashed the run: the tool's `on_failed` decides on resume
    escaped: bool = False
    #: its result could only be kept as text
    lossy: bool = False
    #: it has an effect key, so that its idempotency key is the effect's: the same for every call of the effect
    keyed: bool = False
    #: the call whose result it got, for its effect was had: nothing ran
    result_of: PlaceView | None = None
    #: nothing ran, and `error` says what stands against its effect
    refused: bool = False
    #: what makes its effect doubtful to the next call with the same key, where the call itself does not look unknown
    doubt: Reason | None = None
    result_bytes: int | None = None
    error_type: str | None = None
    decision: DecisionView | None = None
    #: how many late results there are
    evidence: int = 0
    late: tuple[LateResult, ...] = ()
    #: what it said of itself while it ran, oldest first
    notes: tuple[NoteView, ...] = ()
    attempts: tuple[AttemptView, ...] = ()
    args: Mapping[str, object] | None = field(default=None, repr=False)
    result: str | None = field(default=None, repr=False)
    error: str | None = field(default=None, repr=False)

    @property
    def spared(self) -> bool:
        """Whether its code was not entered and never will be, for what is known of its effect."""
        return self.refused or self.result_of is not None

    @property
    def queued(self) -> float | None:
        """Seconds it waited for a permit."""
        return _span(self.queued_at, self.started_at)

    @property
    def latency(self) -> float | None:
        """Seconds from entering the tool's code to its end; None where the end was not recorded."""
        unseen = self.decision is not None or self.reason not in (None, Reason.ESCAPED)
        return None if unseen else _span(self.started_at, self.ended_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerView:
    """One ownership of a batch. It wrote from `since` to `last_seen`; `until` is when the next owner took over, None for the last one.

    `died`: it was dead when the next one came, or is dead now; it died between `last_seen` and `until`. `limit`: calls at once. `by`: the
    person who took the batch, to move it on or to end it; None for an agent.
    """

    epoch: int
    host: str
    pid: int
    process_started: float
    since: float
    last_seen: float
    until: float | None
    how: Handover | None
    why: str
    died: bool
    limit: int | None = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchView:
    """The calls of one model response. `ended_at` is when the last row was written; `owner_state` is that of the newest owner, now."""

    run_id: str
    batch_id: str
    adapter: str
    state: BatchStatus
    epoch: int
    created: float
    ended_at: float
    owner_state: OwnerState
    held: bool
    closed: bool
    calls: tuple[CallView, ...]
    owners: tuple[OwnerView, ...]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return _bundle(self)

    @property
    def key(self) -> BatchKey:
        return BatchKey(self.run_id, self.batch_id)

    @property
    def pending(self) -> tuple[CallView, ...]:
        """The calls that a person has to decide about, unless their policy does on resume."""
        return () if self.closed else tuple(call for call in self.calls if call.state is SlotState.UNKNOWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """A run with its batches, oldest first, as it was at `read_at`. `damaged`: of batches that cannot be read, what is wrong with them."""

    run_id: str
    batches: tuple[BatchView, ...]
    damaged: tuple[str, ...] = ()
    read_at: float | None = None

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return _bundle(self)

    @property
    def calls(self) -> tuple[CallView, ...]:
        return tuple(call for batch in self.batches for call in batch.calls)

    @property
    def pending(self) -> tuple[CallView, ...]:
        return tuple(call for batch in self.batches for call in batch.pending)

    @property
    def state(self) -> BatchStatus:
        """The state that needs attention most among its batches."""
        states = {batch.state for batch in self.batches}
        order = (
            BatchStatus.RUNNING,
            BatchStatus.UNKNOWN,
            BatchStatus.INTERRUPTED,
            BatchStatus.FINISHED,
            BatchStatus.CLOSED,
        )
        return next((state for state in order if state in states), BatchStatus.CLOSED)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """One line about a run. `counts`: its calls by state."""

    run_id: str
    state: BatchStatus
    adapters: tuple[str, ...]
    batches: int
    calls: int
    counts: Mapping[SlotState, int]
    replayed: int
    #: calls that got the result of another one, which has had their effect
    deduplicated: int
    pending: int
    began: float
    last_activity: float
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingCall:
    """A call whose outcome is unknown, and where it stands. `owner_state`: of who holds its batch."""

    call: CallView
    batch_state: BatchStatus
    owner_state: OwnerState
    adapter: str


_drawing: list[Callable[[RunView | BatchView], dict[str, str]]] = []


def drawn_by(bundle: Callable[[RunView | BatchView], dict[str, str]]) -> None:
    """From now on a notebook shows views as `bundle` draws them; before, it shows their `repr`. What draws needs the views, not they it."""
    _drawing[:] = [bundle]


def _bundle(view: RunView | BatchView) -> dict[str, str]:
    return _drawing[0](view) if _drawing else {}


def _span(start: float | None, end: float | None) -> float | None:
    # A clock that was set back must not show negative times.
    return None if start is None or end is None else max(end - start, 0.0)
