"""A run on the terminal: its batches, their owners and calls, and when everything happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from typing_extensions import assert_never

from toolslot._domain._slot import Handover, SlotState
from toolslot._text import shown
from toolslot._views import (
    BatchView,
    CallView,
    DecisionView,
    OwnerView,
    RunView,
    note_text,
    repeated_text,
    span_text,
    time_text,
)
from toolslot.cli._bars import drawn
from toolslot.cli._console import (
    BATCH_STYLES,
    STATE_STYLES,
    UNBOUNDED,
    drawing_width,
    letter,
    make_console,
    moment_text,
    name,
    say,
    table,
)
from toolslot.cli._json import line
from toolslot.cli._numbers import count

#: shown of an argument list, a result or a message, in characters
_VALUE = 2_000


def print_run(run: RunView) -> None:
    """The whole run, oldest batch first."""
    console = make_console()
    pending = len(run.pending)
    state = (f", {pending} to decide: toolslot pending", "bold magenta") if pending else ""
    say(
        console,
        ("run ", "dim"),
        (shown(run.run_id), "bold"),
        f": {run.state.value}, {count(len(run.batches), 'batch', 'batches')}, {count(len(run.calls), 'call')}",
        state,
    )
    for problem in run.damaged:
        say(console, ("DAMAGED ", "bold red"), shown(problem, 1000))
    for batch in run.batches:
        console.print()
        _print_batch(console, batch, run)
    if run.calls:
        console.print()
        console.print(_legend({call.state for call in run.calls}))


def _print_batch(console: Console, batch: BatchView, run: RunView) -> None:
    say(
        console,
        ("batch ", "dim"),
        (shown(batch.batch_id), "bold"),
        f" ({shown(batch.adapter)}): ",
        (batch.state.value, BATCH_STYLES[batch.state]),
        (f", reserved {moment_text(batch.created)} UTC", "dim"),
    )
    for owner in batch.owners:
        say(console, *_owner(owner, batch))
    console.print(_calls(batch, console))
    for call in batch.calls:
        for text in _revealed(call):
            console.print(text, soft_wrap=True)
    console.print()
    for text in drawn(
        replace(run, batches=(batch,)), drawing_width(console), ascii_only=console.options.ascii_only
    ):
        console.print(text, soft_wrap=True)


# --- owners -------------------------------------------------------------------------------------------------------------


def _owner(owner: OwnerView, batch: BatchView) -> Iterator[tuple[str, str]]:
    newest = owner.epoch == batch.epoch
    yield f"  owner {owner.epoch}  ", "dim"
    yield (
        f"pid {owner.pid} on {shown(owner.host, 60)}, {time_text(owner.since)} to {time_text(owner.last_seen)}, ",
        "",
    )
    yield (f"{shown(owner.by, 60)} " if owner.by is not None else ""), ""
    yield _how(owner), ""
    if owner.limit is not None:
        yield f", {owner.limit} at once", ""
    if owner.died:
        yield ", died after that", "bold red"
    elif newest and batch.held:
        yield f", holds the batch ({batch.owner_state.value})", "blue"


def _how(owner: OwnerView) -> str:
    why = f" ({shown(owner.why, 200)})" if owner.why else ""
    match owner.how:
        case None:
            return f"took the batch{why}"
        case Handover.RESERVED:
            return "reserved the batch"
        case Handover.LET_GO:
            return f"took it up: the one before had let go{why}"
        case Handover.DIED:
            return f"took it over: the one before was dead{why}"
        case Handover.FORCED:
            return f"took it over by force: the one before may have been alive{why}"
        case _:
            assert_never(owner.how)


# --- calls --------------------------------------------------------------------------------------------------------------

_FIGURES = ("#", "att", "queued", "started", "ended", "took")
#: on a narrow terminal a tool's name takes at most so much
_SHORT = 20


def _calls(batch: BatchView, console: Console) -> Table:
    """One row per call. Where the screen is too narrow for all columns, the call ids give way, and long names are cut."""
    wide = _table(batch, call_ids=True)
    fits = Measurement.get(console, console.options.update(width=UNBOUNDED), wide).maximum <= console.width
    return wide if fits else _table(batch, call_ids=False)


def _table(batch: BatchView, *, call_ids: bool) -> Table:
    names = ("tool", "call id") if call_ids else ("tool",)
    rows = table("#", "", *names, "att", "queued", "started", "ended", "took", "note", right=_FIGURES)
    for call in batch.calls:
        rows.add_row(
            str(call.index),
            letter(call.state),
            name(call.tool, limit=60 if call_ids else _SHORT),
            *((name(call.call_id, "dim", limit=60),) if call_ids else ()),
            str(call.attempt or ""),
            _offset(batch, call.queued_at),
            _offset(batch, call.started_at),
            _offset(batch, None if call.latency is None else call.ended_at),
            "" if call.latency is None else span_text(call.latency),
            _note(call),
        )
    return rows


def _offset(batch: BatchView, at: float | None) -> str:
    """Since the batch was reserved."""
    return "" if at is None else "+" + span_text(max(at - batch.created, 0.0))


def _note(call: CallView) -> Text:
    parts: list[str] = []
    if call.replayed:
        parts.append("replayed")
    if call.result_of is not None:
        parts.append(f"result of {call.result_of}")
    if call.refused:
        parts.append("refused, not run")
    if call.repeats:
        parts.append(repeated_text(call.repeats))
    if call.state is SlotState.UNKNOWN and call.reason is not None:
        parts.append(call.reason.value)
    if not call.recorded:
        parts.append("not recorded")
    elif call.state is SlotState.RESERVED and call.idempotent:
        parts.append("or running: idempotent")
    if call.escaped:
        parts.append("crashed the run")
    if call.lossy:
        parts.append("kept as text")
    if call.evidence:
        parts.append(count(call.evidence, "late result"))
    if call.generation > 1:
        parts.append(f"generation {call.generation}")
    if call.decision is not None:
        parts.append(f"{call.decision.verdict.value}, decided")
    if call.error_type is not None:
        parts.append(shown(call.error_type.rpartition(".")[2], 60))
    return Text(", ".join(parts), overflow="fold")


def _revealed(call: CallView) -> Iterator[Text]:
    """Of a call that was not run, the key of its effect; who decided and why; what was asked for. The call itself carries no more."""
    values = [
        ("idempotency key", call.idempotency_key if call.spared else None),
        ("decision", None if call.decision is None else _decision(call.decision)),
        *((f"note at attempt {note.attempt}", note_text(note)) for note in call.notes),
        ("arguments", None if call.args is None else line(call.args)),
        ("result", call.result),
        ("error", call.error),
        *((f"late result of attempt {late.attempt}", late.result) for late in call.late),
        *((f"late error of attempt {late.attempt}", late.error) for late in call.late),
    ]
    for label, value in values:
        if value is not None:
            yield Text.assemble((f"  #{call.index} {label}: ", "dim"), shown(value, _VALUE))


def _decision(decision: DecisionView) -> str:
    why = f": {decision.why}" if decision.why else ""
    return f"{decision.verdict.value}, says {decision.by}{why}"


def _legend(states: set[SlotState]) -> Text:
    words = [
        Text.assemble(letter(state), " ", (state.value, STATE_STYLES[state]))
        for state in SlotState
        if state in states
    ]
    return Text("   ").join(words)
