"""A run laid out along one time axis. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import assert_never

from toolslot._domain._slot import Handover, SlotState
from toolslot._text import shown
from toolslot._views import AttemptView, BatchView, CallView, OwnerView, RunView, span_text
from toolslot._views.timeline._facts import spared_text
from toolslot._views.timeline._scale import Scale, scale
from toolslot._views.timeline._shapes import (
    Bar,
    BarKind,
    Boundary,
    BoundaryKind,
    Lane,
    LimitSpan,
    Mark,
    MarkKind,
    Row,
    Strip,
    Timeline,
)

#: of all the time that is shown: what is drawn after the last sign of life of an owner that none followed
_AFTERWARDS = 0.06


def timeline(run: RunView) -> Timeline:
    """Where everything of the run is drawn."""
    spans = [span for batch in run.batches for span in _spans(batch, run.read_at)]
    if not spans:
        spans = [(run.read_at or 0.0, run.read_at or 0.0)]
    axis = scale(spans)
    return Timeline(
        run=run,
        scale=axis,
        begin=axis.pieces[0].begin,
        end=max(end for _, end in spans),
        lanes=tuple(_lane(batch, axis, run.read_at) for batch in run.batches),
    )


def _spans(batch: BatchView, read_at: float | None) -> Iterator[tuple[float, float]]:
    """When something of it happened. Not while a dead owner's batch lay there, or a question waited for its answer."""
    yield batch.created, batch.created
    for owner in batch.owners:
        yield owner.since, owner.since
        yield owner.last_seen, owner.last_seen
    for call in batch.calls:
        for attempt in call.attempts:
            begin, end = _begin(attempt), _end(attempt, read_at)
            if begin is not None:
                yield begin, end if end is not None else begin
        if call.decision is not None:
            yield call.decision.at, call.decision.at
        if call.spared and call.ended_at is not None:
            yield call.ended_at, call.ended_at
    last = batch.owners[-1] if batch.owners else None
    if last is not None and last.died:
        yield last.last_seen, last.last_seen + _AFTERWARDS * max(last.last_seen - batch.created, 0.001)


def _begin(attempt: AttemptView) -> float | None:
    return attempt.queued_at if attempt.queued_at is not None else attempt.started_at


def _end(attempt: AttemptView, read_at: float | None) -> float | None:
    """Until when it may have been at work; for one that is, until the journal was read."""
    if attempt.until is not None:
        return attempt.until
    return read_at if attempt.state is SlotState.RUNNING else attempt.ended_at


def _lane(batch: BatchView, axis: Scale, read_at: float | None) -> Lane:
    spans = tuple(_spans(batch, read_at))
    left, right = axis.at(min(begin for begin, _ in spans)), axis.at(max(end for _, end in spans))
    return Lane(
        batch=batch,
        left=left,
        right=right,
        owners=tuple(_held(owner, axis) for owner in batch.owners),
        boundaries=tuple(_boundaries(batch.owners, axis)),
        strip=_strip(batch, axis, read_at),
        rows=tuple(_row(call, batch.owners, axis, read_at) for call in batch.calls),
        stretch=max(piece.stretch for piece in axis.pieces if piece.left <= right and left <= piece.right),
    )


# --- owners -------------------------------------------------------------------------------------------------------------


def _held(owner: OwnerView, axis: Scale) -> Bar:
    return Bar(
        kind=BarKind.HELD,
        left=axis.at(owner.since),
        right=axis.at(owner.last_seen),
        state=SlotState.UNKNOWN if owner.died else SlotState.SUCCEEDED,
        text=f"pid {owner.pid}",
    )


def _boundaries(owners: tuple[OwnerView, ...], axis: Scale) -> Iterator[Boundary]:
    for owner, after in zip(owners, (*owners[1:], None), strict=True):
        kind = _ending(owner, after)
        if kind is None:
            continue
        until = axis.at(after.since) if after is not None else 1.0
        yield Boundary(kind=kind, at=axis.at(owner.last_seen), until=until, text=_told(owner, after, kind))


def _ending(owner: OwnerView, after: OwnerView | None) -> BoundaryKind | None:
    if owner.died:
        return BoundaryKind.DIED
    if after is None:
        return None
    return BoundaryKind.FORCED if after.how is Handover.FORCED else BoundaryKind.LET_GO


def _told(owner: OwnerView, after: OwnerView | None, kind: BoundaryKind) -> str:
    who = f"pid {owner.pid} on {shown(owner.host, 60)}"
    followed = f"pid {after.pid} took over" if after is not None else "no process has taken over"
    match kind:
        case BoundaryKind.DIED:
            between = f" within {span_text(after.since - owner.last_seen)}" if after is not None else ""
            return f"{who} died{between} after this; {followed}"
        case BoundaryKind.LET_GO:
            return f"{who} let go; {followed}"
        case BoundaryKind.FORCED:
            why = f": {shown(after.why, 120)}" if after is not None and after.why else ""
            return f"{followed} by force{why}; {who} may have been alive"
        case _:
            assert_never(kind)


# --- calls --------------------------------------------------------------------------------------------------------------


def _row(call: CallView, owners: tuple[OwnerView, ...], axis: Scale, read_at: float | None) -> Row:
    bars = tuple(bar for attempt in call.attempts for bar in _bars(attempt, axis, read_at))
    return Row(call=call, bars=bars, marks=tuple(_marks(call, owners, axis)))


def _bars(attempt: AttemptView, axis: Scale, read_at: float | None) -> Iterator[Bar]:
    queued, started = attempt.queued_at, attempt.started_at
    name = f"attempt {attempt.number}"
    if queued is not None and started is not None and started > queued:
        yield Bar(
            kind=BarKind.QUEUED,
            left=axis.at(queued),
            right=axis.at(started),
            state=attempt.state,
            text=f"{name} waited {span_text(started - queued)} for its turn",
        )
    begin = started if started is not None else queued
    if begin is None:
        return
    end = _end(attempt, read_at)
    end = begin if end is None else max(begin, end)
    running = attempt.state is SlotState.RUNNING
    yield Bar(
        kind=BarKind.RAN,
        left=axis.at(begin),
        right=axis.at(end),
        state=attempt.state,
        text=f"{name} {attempt.state.value}, {span_text(end - begin)}{' so far' if running else ''}",
        open_end=running,
    )


def _marks(call: CallView, owners: tuple[OwnerView, ...], axis: Scale) -> Iterator[Mark]:
    if call.replayed and owners:
        newest = owners[-1]
        text = f"its result was in the journal for pid {newest.pid}: nothing ran"
        yield Mark(kind=MarkKind.REPLAYED, at=axis.at(newest.since), text=text)
    if call.decision is not None:
        decision = call.decision
        text = f"{shown(decision.by, 60)} decided: {decision.verdict.value}"
        yield Mark(kind=MarkKind.DECIDED, at=axis.at(decision.at), text=text)
    if call.spared and call.ended_at is not None:
        kind = MarkKind.REFUSED if call.refused else MarkKind.DEDUPLICATED
        yield Mark(kind=kind, at=axis.at(call.ended_at), text=f"{spared_text(call)}: nothing ran")


# --- how many at once ---------------------------------------------------------------------------------------------------


def _strip(batch: BatchView, axis: Scale, read_at: float | None) -> Strip:
    changes: dict[float, int] = {}
    for call in batch.calls:
        for attempt in call.attempts:
            end = _end(attempt, read_at)
            if attempt.started_at is None or end is None or end <= attempt.started_at:
                continue
            changes[attempt.started_at] = changes.get(attempt.started_at, 0) + 1
            changes[end] = changes.get(end, 0) - 1
    steps: list[tuple[float, int]] = []
    running = peak = 0
    for time in sorted(changes):
        running += changes[time]
        peak = max(peak, running)
        steps.append((axis.at(time), running))
    return Strip(steps=tuple(steps), limits=tuple(_limits(batch.owners, axis)), peak=peak)


def _limits(owners: tuple[OwnerView, ...], axis: Scale) -> Iterator[LimitSpan]:
    for owner in owners:
        if owner.limit is not None:
            yield LimitSpan(left=axis.at(owner.since), right=axis.at(owner.last_seen), count=owner.limit)
