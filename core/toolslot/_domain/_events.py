"""Observability: one frozen event per transition, handed to hooks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from toolslot._domain._slot import BatchKey, Reason, SlotRecord, SlotState


class EventKind(str, Enum):
    """What happened to a call."""

    #: its slot was written
    RESERVED = "reserved"
    #: its start mark is durable; its code is entered next
    STARTED = "started"
    #: it returned and its result is recorded
    FINISHED = "finished"
    #: it raised, or its framework turned its error into an answer
    FAILED = "failed"
    #: it did not return in time; its effect may still happen
    TIMED_OUT = "timed_out"
    #: whether it was done is not known here
    UNKNOWN = "unknown"
    #: a reconciler or an operator settled it
    RECONCILED = "reconciled"
    #: a call of unknown outcome is run again by policy
    RERUN = "rerun"
    #: its answer is recorded, by another process, and its code is entered next for what it leaves in this one's memory
    REPEATED = "repeated"
    #: another call has had its effect: it got that one's result, nothing ran
    DEDUPLICATED = "deduplicated"
    #: it was not run and never will be, for what is known of its effect
    REFUSED = "refused"
    #: its recorded result was handed out, nothing ran
    REPLAYED = "replayed"
    #: its code said something of itself, which is recorded
    NOTED = "noted"
    #: it stopped at a question to a human
    WAITING = "waiting"
    #: its result came after it could count
    LATE_RESULT = "late_result"
    #: its start mark was taken back: it certainly did not run
    WITHDRAWN = "withdrawn"
    #: its result is recorded, but only as text
    NOT_STORABLE = "not_storable"
    #: another call took its place (lenient matching)
    MISMATCH = "mismatch"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallEvent:
    """One transition of one call.

    Times are wall-clock seconds; `latency` is seconds of the attempt, `queued` seconds it waited for a permit. `detail` is a short text for
    people, never an argument or result; of `NOTED` it is the note. `args` is None unless arguments were asked for (`TOOLSLOT_LOG_ARGS=1`).
    """

    kind: EventKind
    run_id: str
    batch_id: str
    index: int
    tool: str
    call_id: str
    state: SlotState
    attempt: int
    at: float
    queued: float | None = None
    latency: float | None = None
    reason: Reason | None = None
    error_type: str | None = None
    detail: str = ""
    args: Mapping[str, object] | None = None

    @property
    def replayed(self) -> bool:
        return self.kind is EventKind.REPLAYED


@dataclass(frozen=True, kw_only=True, slots=True)
class CallMetrics:
    """One call of a batch, as this batch run left it. `replayed`: its answer came from the journal, nothing ran."""

    index: int
    tool: str
    state: SlotState
    attempt: int
    queued_at: float | None
    started_at: float | None
    ended_at: float | None
    replayed: bool

    @property
    def latency(self) -> float | None:
        """Seconds from entering the tool's code to its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchEvent:
    """A batch run came to its end: every call's status, attempt and times, in call order.

    `traces`: what hooks of the batch's other owners, in this process or before, gave at its opening, oldest first.
    """

    run_id: str
    batch_id: str
    epoch: int
    opened_at: float
    ended_at: float
    closed: bool
    calls: tuple[CallMetrics, ...]
    traces: tuple[str, ...] = ()


def batch_event(
    key: BatchKey,
    slots: Sequence[SlotRecord],
    replayed: Collection[int],
    *,
    epoch: int,
    span: tuple[float, float],
    closed: bool,
    traces: Sequence[str] = (),
) -> BatchEvent:
    """The event of a batch run that opened and ended at `span`, in wall-clock seconds; `replayed` are indexes."""
    calls = tuple(
        CallMetrics(
            index=slot.index,
            tool=slot.spec.tool,
            state=slot.state,
            attempt=slot.attempt,
            queued_at=slot.queued_at,
            started_at=slot.started_at,
            ended_at=slot.ended_at,
            replayed=slot.index in replayed,
        )
        for slot in slots
    )
    opened_at, ended_at = span
    return BatchEvent(
        run_id=key.run_id,
        batch_id=key.batch_id,
        epoch=epoch,
        opened_at=opened_at,
        ended_at=ended_at,
        closed=closed,
        calls=calls,
        traces=tuple(traces),
    )


Event: TypeAlias = CallEvent | BatchEvent
#: a function or an object that is called with every event; one with any of the methods of `HookMethods` is told more
Hook: TypeAlias = Callable[[Event], None]


class HookMethods(Protocol):
    """What a hook may have besides `__call__`, for what an event alone cannot do. Each method may be missing; none is called otherwise.

    One that raises is logged and ignored: it must not touch the calls.
    """

    def wants(self, kind: EventKind | None) -> bool:
        """Whether the hook is to be called with events of this kind, None for `BatchEvent`; one that no hook wants is not even made."""
        ...

    def opening(self, key: BatchKey, adapter: str, at: float) -> str | None:
        """A batch is about to be opened, before anything is written; called in the context of its opener.

        The text that is returned is kept with the ownership, and comes back in `BatchEvent.traces` of later owners.
        """
        ...

    def opened(self, asked: BatchKey, found: BatchKey | None, at: float) -> None:
        """Where the slots are: elsewhere than `asked` after adoption; None when the batch could not be opened."""
        ...

    def standing(self, key: BatchKey, states: tuple[SlotState, ...]) -> None:
        """The batch is open, and how its calls stand, in order."""
        ...

    def running(self, started: CallEvent) -> AbstractContextManager[object]:
        """Something to be entered around an attempt, from its start to its record. The tool's code gets a copy of the context inside."""
        ...
