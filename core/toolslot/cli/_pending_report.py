"""What there is to know of a call that needs a decision, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from typing_extensions import assert_never

from toolslot._text import shown
from toolslot._views import BatchStatus, PendingCall, coarse_span_text, note_text
from toolslot.cli._calls import place
from toolslot.cli._console import moment_text
from toolslot.cli._json import line
from toolslot.journal import OwnerState

Parts: TypeAlias = "tuple[str | tuple[str, str], ...]"


def report(pending: PendingCall, *, now: float) -> Iterator[Parts]:
    """The lines, each in parts with their styles."""
    call = pending.call
    yield (
        (shown(call.tool), "bold"),
        (f"  run {shown(call.run_id)}", ""),
        (f"  call {shown(place(call))}", "dim"),
    )
    reason = f", {call.reason.value}" if call.reason is not None else ""
    yield ("  ", f"attempt {call.attempt}, {_began(call.started_at, now)}{reason}", "; ", _holder(pending))
    yield (("  key         ", "dim"), call.idempotency_key)
    for note in call.notes:
        yield (("  noted       ", "dim"), note_text(note))
    if call.call_id:
        yield (("  call id     ", "dim"), shown(call.call_id))
    if call.args is not None:
        yield (("  arguments   ", "dim"), shown(line(call.args), 2_000))
    if call.evidence:
        yield (
            "  ",
            (
                f"{call.evidence} late result(s) came after it was given up: toolslot show RUN --reveal",
                "yellow",
            ),
        )


def _began(at: float | None, now: float) -> str:
    if at is None:
        return "its begin was not recorded"
    return f"began {moment_text(at)} UTC ({coarse_span_text(max(now - at, 0.0))} ago)"


def _holder(pending: PendingCall) -> str:
    if pending.batch_state is not BatchStatus.RUNNING:
        return "no process works on it"
    match pending.owner_state:
        case OwnerState.ALIVE:
            return "a living owner holds the batch"
        case OwnerState.UNKNOWN:
            return "an owner holds the batch that cannot be asked from here whether it lives"
        case OwnerState.DEAD:
            return "no process works on it"
        case _:
            assert_never(pending.owner_state)
