"""What a person's code gets to see of a slot: decoded, frozen, without journal internals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from toolslot._codec import ErrorRecord
from toolslot._domain._slot import Reason, SlotState
from toolslot._text import shown


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceView:
    """A result that came too late to count. `value` is None for a failure or an unreadable payload."""

    at: datetime
    failed: bool
    value: object = None
    error: ErrorRecord | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NoteView:
    """What a running call said of itself, by `current_call().note(text, ref=...)`."""

    at: datetime
    attempt: int
    text: str
    ref: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """One call as a reconciler, a hook or an operator sees it.

    `args` are the model's own arguments; `attempt` counts entries of the tool's code from 1; times are aware UTC datetimes.
    `idempotency_key` is the one the tool saw through `current_call()`, on whatever machine and in whatever attempt.
    """

    run_id: str
    batch_id: str
    index: int
    tool: str
    args: Mapping[str, object]
    call_id: str
    idempotency_key: str
    state: SlotState
    attempt: int
    version: int
    started_at: datetime | None = None
    reason: Reason | None = None
    error: ErrorRecord | None = None
    evidence: tuple[EvidenceView, ...] = ()
    #: what the call said of itself while it ran, in all its attempts, oldest first; the newest 50
    notes: tuple[NoteView, ...] = ()

    def __repr__(self) -> str:
        # Arguments may hold secrets, and reprs end up in logs.
        place = f"{shown(self.run_id)}/{shown(self.batch_id)}#{self.index}"
        return f"<Slot {place} {shown(self.tool)} {self.state.value} attempt={self.attempt}>"


def utc(seconds: float | None) -> datetime | None:
    """Wall-clock seconds as an aware datetime."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=timezone.utc)
