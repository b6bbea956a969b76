"""A batch as views show it, told from its history. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

from toolslot._codec import JsonCodec, Payload, decode
from toolslot._domain._effect_standing import doubt_of
from toolslot._domain._notes import note_view
from toolslot._domain._slot import (
    BatchHistory,
    BatchRecord,
    Decided,
    Evidence,
    Handover,
    Reason,
    Repeated,
    Row,
    SlotRecord,
    SlotState,
    Tenure,
)
from toolslot._errors import ToolslotError
from toolslot._views._attempts import attempts
from toolslot._views._records import (
    AttemptView,
    BatchStatus,
    BatchView,
    CallView,
    DecisionView,
    LateResult,
    OwnerView,
    PlaceView,
)

_ARGS = JsonCodec()


def batch_view(history: BatchHistory, *, reveal: bool = False) -> BatchView:
    """The batch. `reveal`: with arguments, results and messages of errors."""
    record = history.record
    fence, manifest = record.fence, record.manifest
    dead = fence.held and not record.held
    owners = _owners(history, dead=dead)
    calls = tuple(
        _call(record, slot, rows, owners, dead=dead, reveal=reveal)
        for slot, rows in zip(record.slots, history.rows, strict=True)
    )
    return BatchView(
        run_id=manifest.key.run_id,
        batch_id=manifest.key.batch_id,
        adapter=manifest.adapter,
        state=_state(record, calls),
        epoch=fence.epoch,
        created=manifest.created,
        ended_at=max(manifest.created, *(owner.last_seen for owner in owners)),
        owner_state=record.owner_state,
        held=fence.held,
        closed=fence.closed,
        calls=calls,
        owners=owners,
    )


def _state(record: BatchRecord, calls: tuple[CallView, ...]) -> BatchStatus:
    if record.fence.closed:
        return BatchStatus.CLOSED
    if record.settled:
        return BatchStatus.FINISHED
    if record.held:
        return BatchStatus.RUNNING
    unknown = any(call.state is SlotState.UNKNOWN for call in calls)
    return BatchStatus.UNKNOWN if unknown else BatchStatus.INTERRUPTED


# --- owners -------------------------------------------------------------------------------------------------------------


def _owners(history: BatchHistory, *, dead: bool) -> tuple[OwnerView, ...]:
    tenures = history.record.tenures
    seen = {tenure.epoch: tenure.at for tenure in tenures}
    for row in chain.from_iterable(history.rows):
        if _by_the_owner(row):
            seen[row.epoch] = max(seen.get(row.epoch, row.at), row.at)
    following = (*tenures[1:], None)
    return tuple(
        _owner(tenure, after, seen[tenure.epoch], dead=dead)
        for tenure, after in zip(tenures, following, strict=True)
    )


def _by_the_owner(row: Row) -> bool:
    """Whether the row shows that the owner of its epoch was at work: operators decide, and others repeat calls, from outside."""
    return not isinstance(row, (Decided, Repeated))


def _owner(tenure: Tenure, after: Tenure | None, last_seen: float, *, dead: bool) -> OwnerView:
    process = tenure.owner.process
    return OwnerView(
        epoch=tenure.epoch,
        host=process.host,
        pid=process.pid,
        process_started=process.started,
        since=tenure.at,
        last_seen=last_seen,
        until=after.at if after is not None else None,
        how=tenure.how,
        why=tenure.why,
        died=dead if after is None else after.how is Handover.DIED,
        limit=tenure.limit,
        by=tenure.by,
    )


# --- calls --------------------------------------------------------------------------------------------------------------


def _call(
    record: BatchRecord,
    slot: SlotRecord,
    rows: tuple[Row, ...],
    owners: tuple[OwnerView, ...],
    *,
    dead: bool,
    reveal: bool,
) -> CallView:
    lost = dead and slot.state is SlotState.RUNNING
    key, spec = record.key, slot.spec
    agents = max((owner.epoch for owner in owners if owner.by is None), default=0)
    view = CallView(
        run_id=key.run_id,
        batch_id=key.batch_id,
        index=slot.index,
        tool=spec.tool,
        call_id=spec.call_id,
        state=SlotState.UNKNOWN if lost else slot.state,
        version=slot.version + lost,  # recovery will record the loss, and perhaps has before anybody decides
        attempt=slot.attempt,
        generation=slot.generation,
        idempotency_key=slot.key_in(key),
        idempotent=spec.idempotent,
        recorded=spec.recorded or slot.version > 0,
        reason=Reason.OWNER_DIED if lost else slot.reason,
        queued_at=slot.queued_at,
        started_at=slot.started_at,
        ended_at=slot.ended_at,
        replayed=slot.final and not slot.repeated_in and 0 < slot.epoch < agents,
        repeats=len(slot.repeated_in),
        escaped=slot.escaped,
        lossy=slot.outcome is not None and slot.outcome.lossy,
        keyed=slot.effect is not None,
        result_of=None if slot.holder is None else PlaceView.of(slot.holder),
        refused=slot.refused,
        doubt=None if lost or slot.effect is None else doubt_of(record, slot),
        result_bytes=len(slot.outcome.data) if slot.outcome is not None else None,
        error_type=slot.error.type_name if slot.error is not None else None,
        decision=_decision(slot),
        evidence=len(slot.evidence),
        notes=tuple(map(note_view, slot.notes)),
        late=tuple(_late(row, reveal=reveal) for row in slot.evidence),
        attempts=tuple(_bounded(attempt, owners, dead=dead) for attempt in attempts(rows)),
    )
    if not reveal:
        return view
    return replace(
        view,
        args=_args(spec.args) if spec.recorded else None,
        result=None if slot.outcome is None else _text(slot.outcome),
        error=None if slot.error is None else slot.error.message,
    )


def _decision(slot: SlotRecord) -> DecisionView | None:
    row = slot.decision
    return None if row is None else DecisionView(verdict=row.verdict, by=row.by, why=row.why, at=row.at)


def _late(row: Evidence, *, reveal: bool) -> LateResult:
    return LateResult(
        attempt=row.attempt,
        at=row.at,
        failed=row.failed,
        error_type=row.error.type_name if row.error is not None else None,
        result=_text(row.outcome) if reveal and row.outcome is not None else None,
        error=row.error.message if reveal and row.error is not None else None,
    )


def _bounded(attempt: AttemptView, owners: tuple[OwnerView, ...], *, dead: bool) -> AttemptView:
    """Until when it may have been at work: never after the death of its process."""
    owner = owners[attempt.epoch - 1] if 0 < attempt.epoch <= len(owners) else None
    if attempt.until is not None or owner is None:
        return attempt
    if owner.died:
        lost = dead and owner.until is None and attempt.state is SlotState.RUNNING
        attempt = replace(attempt, until=owner.last_seen)
        return replace(attempt, state=SlotState.UNKNOWN, reason=Reason.OWNER_DIED) if lost else attempt
    return attempt if attempt.ended_at is None else replace(attempt, until=attempt.ended_at)


def _args(payload: Payload) -> Mapping[str, object]:
    try:
        value = decode(payload, {_ARGS.name: _ARGS})
    except ToolslotError as error:
        return {"(not readable)": str(error)}
    if not isinstance(value, dict):
        return {"(arguments, as text)": value}
    return {str(name): item for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _text(payload: Payload) -> str:
    """A value of the core's codec as JSON, or as itself if it is a text; another as it is stored: a view knows no adapter's codec."""
    if payload.codec == _ARGS.name:
        try:
            value = _ARGS.decode(payload.data)
        except ToolslotError:
            pass  # damaged, or of a class that is registered elsewhere
        else:
            return value if isinstance(value, str) else _json_or_repr(value)
    return payload.data.decode("utf-8", "replace")


def _json_or_repr(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)
