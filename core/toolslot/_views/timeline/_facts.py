"""What is said of a run, a batch, a call or an owner: lines of text, and pairs of a label and a text. Pure; not yet escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from toolslot._domain._slot import Handover, SlotState
from toolslot._text import shown
from toolslot._views import (
    AttemptView,
    BatchView,
    CallView,
    OwnerView,
    RunView,
    date_text,
    note_text,
    noun,
    repeated_text,
    span_text,
    time_text,
)
from toolslot._views.timeline._shapes import Lane

Fact: TypeAlias = tuple[str, str]

#: shown of an argument, a result or an error's message, in characters
_VALUE = 4_000

_HOW = {
    Handover.RESERVED: "reserved the batch",
    Handover.LET_GO: "the one before had let go",
    Handover.DIED: "the one before was dead",
    Handover.FORCED: "by force: the one before may have been alive",
}


def run_summary(run: RunView) -> str:
    """What happened, in one line."""
    calls, batches = run.calls, run.batches
    parts = [run.state.value, _counted(len(calls), "call"), _counted(len(batches), "batch", "batches")]
    if replayed := sum(call.replayed for call in calls):
        parts.append(f"{replayed} replayed")
    if spared := sum(call.spared for call in calls):
        parts.append(f"{spared} not run, for their effect keys")
    if run.pending:
        parts.append(f"{len(run.pending)} unknown")
    if batches:
        begin, end = min(batch.created for batch in batches), max(batch.ended_at for batch in batches)
        parts.append(f"{date_text(begin)} {time_text(begin)} UTC, over {span_text(end - begin)}")
    return " · ".join(parts)


def batch_summary(lane: Lane) -> str:
    """The same of a batch."""
    batch = lane.batch
    parts = [_counted(len(batch.calls), "call")]
    if replayed := sum(call.replayed for call in batch.calls):
        parts.append(f"{replayed} replayed")
    if spared := sum(call.spared for call in batch.calls):
        parts.append(f"{spared} not run, for their effect keys")
    if lane.strip.peak:
        parts.append(f"at most {lane.strip.peak} at once")
    if lane.stretch > 1:
        parts.append(f"drawn {lane.stretch:.2g} times longer than the rest")
    if batch.adapter != "core":
        parts.append(f"from {shown(batch.adapter, 40)}")
    return " · ".join(parts)


def spoken(call: CallView) -> str:
    """A call in one line, for those who hear it."""
    parts = [f"Call {call.index}", shown(call.tool, 120), state_text(call)]
    if call.latency is not None and call.state in (SlotState.SUCCEEDED, SlotState.FAILED):
        parts.append(f"took {span_text(call.latency)}")
    if call.attempt > 1:
        parts.append(f"{call.attempt} attempts")
    if call.replayed:
        parts.append("replayed")
    if call.repeats:
        parts.append(repeated_text(call.repeats))
    return ", ".join(parts)


def took_text(call: CallView) -> str:
    """How long its newest attempt took, or what there is to say instead."""
    if call.state in (SlotState.SUCCEEDED, SlotState.FAILED) and call.latency is not None:
        return span_text(call.latency)
    return "not run" if call.spared else call.state.value


def spared_text(call: CallView) -> str:
    """Of a call that did not run for what is known of its effect: what it got instead."""
    return "refused" if call.result_of is None else f"result of {call.result_of}"


def call_facts(batch: BatchView, call: CallView) -> tuple[Fact, ...]:
    """Everything about a call; arguments, results and messages of errors only where the call carries them."""
    return (*_identity(call), *_times(call), *_attempts(batch, call), *_settled(call), *_revealed(call))


def state_text(call: CallView) -> str:
    """The state in words, with what is special about it."""
    text = call.state.value
    if not call.recorded:
        text = "not recorded (record=False): nothing is known of it, and it runs again on resume"
    elif call.state is SlotState.RESERVED and call.idempotent:
        text = "reserved or running (no start is recorded of an idempotent call)"
    elif call.state is SlotState.RESERVED:
        text = "reserved: certainly not done"
    if call.reason is not None:
        text += f": {call.reason.value}"
    if call.escaped and call.state is SlotState.FAILED:
        text += ", and crashed the run"
    if call.spared:
        text += f": {spared_text(call)}, nothing ran"
    return text


def owner_facts(owner: OwnerView) -> tuple[Fact, ...]:
    """Everything about one owner of a batch."""
    return tuple(_owner(owner))


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {noun(count, one, many)}"


def _identity(call: CallView) -> Iterator[Fact]:
    yield "state", state_text(call)
    yield "call id", shown(call.call_id) if call.call_id else "(none)"
    shared = ": every call with the same effect key has it" if call.keyed else ""
    yield "idempotency key", f"{call.idempotency_key}{shared}"
    if call.generation > 1:
        yield "generation", f"{call.generation}: another call had this place before"


def _times(call: CallView) -> Iterator[Fact]:
    if call.queued_at is not None:
        waited = "" if call.queued is None else f", waited {span_text(call.queued)}"
        yield "queued", f"{time_text(call.queued_at)}{waited}"
    if call.started_at is not None:
        yield "started", time_text(call.started_at)
    if call.ended_at is not None:
        took = "" if call.latency is None else f", took {span_text(call.latency)}"
        yield "ended", f"{time_text(call.ended_at)}{took}"


def _attempts(batch: BatchView, call: CallView) -> Iterator[Fact]:
    owners = {owner.epoch: owner for owner in batch.owners}
    for attempt in call.attempts:
        owner = owners.get(attempt.epoch)
        by = f" by pid {owner.pid} on {shown(owner.host, 60)}" if owner is not None else ""
        yield f"attempt {attempt.number}", _attempt(attempt) + by
    if call.replayed:
        newest = batch.owners[-1]
        yield "replayed", f"its result was in the journal for pid {newest.pid}: nothing ran"
    if call.repeats:
        yield "repeated", f"{repeated_text(call.repeats)}, for what it leaves in the memory of its process"


def _attempt(attempt: AttemptView) -> str:
    words = "taken back: certainly not done" if attempt.state is SlotState.RESERVED else attempt.state.value
    if attempt.reason is not None:
        words += f" ({attempt.reason.value})"
    if attempt.error_type is not None:
        words += f" with {shown(attempt.error_type)}"
    if attempt.started_at is not None and attempt.until is not None:
        words += f" after {span_text(attempt.until - attempt.started_at)}"
    return words


def _settled(call: CallView) -> Iterator[Fact]:
    if call.decision is not None:
        decision = call.decision
        why = f": {shown(decision.why, 500)}" if decision.why else ""
        yield (
            "decision",
            f"{decision.verdict.value} by {shown(decision.by)} at {time_text(decision.at)}{why}",
        )
    if call.error_type is not None:
        yield "error", shown(call.error_type)
    if call.doubt is not None:
        yield (
            "effect",
            "perhaps had: the next call with the same effect key finds it so, unless its policy says that it was not",
        )
    if call.result_bytes is not None:
        lossy = ", kept as text only" if call.lossy else ""
        yield "result size", f"{call.result_bytes:,} bytes{lossy}"
    for note in call.notes:
        yield "note", note_text(note)
    if call.evidence:
        yield "late results", f"{call.evidence}, which could not count any more"


def _revealed(call: CallView) -> Iterator[Fact]:
    if call.args is not None:
        yield "arguments", _arguments(call.args)
    if call.result is not None:
        yield "result", shown(call.result, _VALUE)
    if call.error is not None:
        yield "error message", shown(call.error, _VALUE)


def _arguments(args: Mapping[str, object]) -> str:
    return shown(", ".join(f"{name}={value!r}" for name, value in args.items()), _VALUE) or "(none)"


def _owner(owner: OwnerView) -> Iterator[Fact]:
    yield "process", f"pid {owner.pid} on {shown(owner.host)}, started {time_text(owner.process_started)}"
    yield "came by it", _how(owner)
    yield "held from", time_text(owner.since)
    yield "last seen", time_text(owner.last_seen)
    if owner.died:
        until = "" if owner.until is None else f", before {time_text(owner.until)}"
        yield "died", f"after it was last seen{until}"
    yield "calls at once", "no limit recorded" if owner.limit is None else f"at most {owner.limit}"


def _how(owner: OwnerView) -> str:
    text = "not recorded" if owner.how is None else _HOW[owner.how]
    return f"{text} ({shown(owner.why)})" if owner.why else text
