"""Journal rows as plain JSON values, for back ends that store bytes.

Strict in both directions: a reader that meets a kind, a field or a type it does not know refuses the row, since guessing
may run a call twice. Nothing here looks up a class or a function by a name found in data.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TypeAlias, TypedDict, cast

from typing_extensions import assert_never

from toolslot._codec import ErrorRecord, Payload
from toolslot._domain._effect_names import EffectMark
from toolslot._domain._identity import Owner
from toolslot._domain._slot import (
    BatchKey,
    Decided,
    Deduplicated,
    Delivered,
    Evidence,
    Fence,
    Finished,
    Handover,
    Lost,
    Manifest,
    Noted,
    Paused,
    Reason,
    Refused,
    Regenerated,
    Repeated,
    Row,
    SlotPlace,
    SlotSpec,
    Started,
    Tenure,
    Verdict,
    Withdrawn,
)
from toolslot._errors import JournalCorrupt
from toolslot.journal._format._fields import Fields

# --- what surrounds the rows ---------------------------------------------------------------------------------------------


def payload_to_json(payload: Payload) -> dict[str, object]:
    """Text stays text, for people who look at a row; other bytes are base64."""
    data: dict[str, object] = {"codec": payload.codec}
    try:
        data["text"] = payload.data.decode()
    except UnicodeDecodeError:
        data["base64"] = bytes_to_json(payload.data)
    if payload.lossy:
        data["lossy"] = True
    return data


def payload_from_json(data: object) -> Payload:
    kind: type = type(data)
    found = cast("dict[str, object]", data) if kind is dict else {}
    codec, text = found.get("codec"), found.get("text")
    # Nearly all are these, and reading a batch spends its time here.
    if len(found) == 2 and type(codec) is str and type(text) is str:
        return Payload(codec=codec, data=text.encode())
    fields = Fields(data, "payload")
    codec = fields.text("codec")
    content = fields.text("text").encode() if fields.has("text") else fields.data("base64")
    lossy = fields.flag("lossy") if fields.has("lossy") else False
    fields.done()
    return Payload(codec=codec, data=content, lossy=lossy)


def spec_to_json(spec: SlotSpec) -> dict[str, object]:
    return {
        "index": spec.index,
        "tool": spec.tool,
        "call_id": spec.call_id,
        "digest": spec.digest,
        "args": payload_to_json(spec.args),
        "idempotent": spec.idempotent,
        **({} if spec.recorded else {"recorded": False}),
    }


def spec_from_json(data: object) -> SlotSpec:
    fields = Fields(data, "call")
    spec = SlotSpec(
        index=fields.integer("index"),
        tool=fields.text("tool"),
        call_id=fields.text("call_id"),
        digest=fields.text_or_none("digest"),
        args=fields.part("args", payload_from_json),
        idempotent=fields.flag("idempotent"),
        recorded=fields.flag("recorded") if fields.has("recorded") else True,
    )
    fields.done()
    return spec


def manifest_to_json(manifest: Manifest) -> dict[str, object]:
    return {
        "run_id": manifest.key.run_id,
        "batch_id": manifest.key.batch_id,
        "specs": [spec_to_json(spec) for spec in manifest.specs],
        "created": manifest.created,
        "adapter": manifest.adapter,
        "lineage": manifest.lineage,
        "payload": bytes_to_json(manifest.payload),
    }


def manifest_from_json(data: object) -> Manifest:
    fields = Fields(data, "manifest")
    manifest = Manifest(
        key=BatchKey(fields.text("run_id"), fields.text("batch_id")),
        specs=tuple(spec_from_json(spec) for spec in fields.items("specs")),
        created=fields.number("created"),
        adapter=fields.text("adapter"),
        lineage=fields.text_or_none("lineage"),
        payload=fields.data_or_none("payload"),
    )
    fields.done()
    if any(spec.index != index for index, spec in enumerate(manifest.specs)):
        raise JournalCorrupt(f"the stored manifest of batch {manifest.key} does not number its calls from 0.")
    return manifest


def fence_to_json(fence: Fence) -> dict[str, object]:
    return {"epoch": fence.epoch, "owner": fence.owner.to_json(), "held": fence.held, "closed": fence.closed}


def fence_from_json(data: object) -> Fence:
    fields = Fields(data, "fence")
    fence = Fence(
        epoch=fields.integer("epoch"),
        owner=fields.part("owner", Owner.from_json),
        held=fields.flag("held"),
        closed=fields.flag("closed"),
    )
    fields.done()
    return fence


def tenure_to_json(tenure: Tenure) -> dict[str, object]:
    data: dict[str, object] = {
        "epoch": tenure.epoch,
        "owner": tenure.owner.to_json(),
        "at": tenure.at,
        "why": tenure.why,
    }
    if tenure.how is not None:
        data["how"] = tenure.how.value
    if tenure.limit is not None:
        data["limit"] = tenure.limit
    if tenure.trace is not None:
        data["trace"] = tenure.trace
    if tenure.by is not None:
        data["by"] = tenure.by
    return data


def tenure_from_json(data: object) -> Tenure:
    fields = Fields(data, "tenure")
    tenure = Tenure(
        epoch=fields.integer("epoch"),
        owner=fields.part("owner", Owner.from_json),
        at=fields.number("at"),
        why=fields.text("why"),
        how=fields.member("how", Handover) if fields.has("how") else None,
        limit=fields.integer("limit") if fields.has("limit") else None,
        trace=fields.text("trace") if fields.has("trace") else None,
        by=fields.text("by") if fields.has("by") else None,
    )
    fields.done()
    return tenure


def key_to_json(key: BatchKey) -> list[object]:
    return [key.run_id, key.batch_id]


def key_from_json(data: object) -> BatchKey:
    match data:
        case [str(run_id), str(batch_id)]:
            return BatchKey(run_id, batch_id)
        case _:
            raise JournalCorrupt("a stored batch key is not a pair of texts.")


def bytes_to_json(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


# --- rows ----------------------------------------------------------------------------------------------------------------


class _Base(TypedDict):
    index: int
    generation: int
    attempt: int
    epoch: int
    at: float


class _Result(TypedDict):
    outcome: Payload | None
    error: ErrorRecord | None


def row_to_json(row: Row) -> dict[str, object]:
    """One row; `kind` says which. The newest kinds and fields are refused by older readers."""
    data: dict[str, object] = {
        "kind": _KINDS[type(row)],
        "index": row.index,
        "generation": row.generation,
        "attempt": row.attempt,
        "epoch": row.epoch,
        "at": row.at,
    }
    match row:
        case Started():
            data["queued_at"] = row.queued_at
            if row.effect is not None:
                data["effect"] = list(row.effect)
        case Finished():
            data.update(_result_to_json(row))
            data["failed"] = row.failed
            data["escaped"] = row.escaped
            data["queued_at"] = row.queued_at
            data["started_at"] = row.started_at
            if row.content is not None:
                data["content"] = payload_to_json(row.content)
        case _:
            data.update(_rarer(row))
    return data


_Rarer: TypeAlias = (
    Lost
    | Withdrawn
    | Paused
    | Delivered
    | Evidence
    | Decided
    | Deduplicated
    | Refused
    | Noted
    | Repeated
    | Regenerated
)


def _rarer(row: _Rarer) -> dict[str, object]:
    """What rows say that few calls have."""
    match row:
        case Lost():
            return {"reason": row.reason.value}
        case Withdrawn():
            return {"why": row.why}
        case Paused():
            return {}
        case Delivered():
            return _result_to_json(row)
        case Evidence():
            return {**_result_to_json(row), "failed": row.failed}
        case Decided():
            return {
                **_result_to_json(row),
                "verdict": row.verdict.value,
                "by": row.by,
                "why": row.why,
                "decision_id": row.decision_id,
                "version": row.version,
                **({} if row.content is None else {"content": payload_to_json(row.content)}),
            }
        case Deduplicated():
            outcome = None if row.outcome is None else payload_to_json(row.outcome)
            return {"holder": place_to_json(row.holder), "effect": list(row.effect), "outcome": outcome}
        case Refused():
            return {"error": row.error.to_json()}
        case Noted():
            return {"outcome": payload_to_json(row.note)}
        case Repeated():
            outcome = None if row.outcome is None else payload_to_json(row.outcome)
            return {"outcome": outcome, "failed": row.failed, "process": row.process}
        case Regenerated():
            return {"spec": spec_to_json(row.spec)}
        case _:
            assert_never(row)


def row_from_json(data: object) -> Row:
    """The row that `row_to_json` wrote.

    Raises:
        JournalCorrupt: an unknown kind or field, a missing one, or a value of the wrong type.
    """
    fields = Fields(data, "row")
    kind = fields.text("kind")
    read = _READERS.get(kind)
    if read is None:
        raise JournalCorrupt(
            f"a stored row is of kind {kind!r}, which this version of toolslot does not know."
        )
    base = _Base(
        index=fields.integer("index"),
        generation=fields.integer("generation"),
        attempt=fields.integer("attempt"),
        epoch=fields.integer("epoch"),
        at=fields.number("at"),
    )
    row = read(fields, base)
    fields.done()
    return row


def _result_to_json(row: Finished | Delivered | Evidence | Decided) -> dict[str, object]:
    return {
        "outcome": None if row.outcome is None else payload_to_json(row.outcome),
        "error": None if row.error is None else row.error.to_json(),
    }


def _result(fields: Fields) -> _Result:
    return _Result(
        outcome=fields.part_or_none("outcome", payload_from_json),
        error=fields.part_or_none("error", ErrorRecord.from_json),
    )


def place_to_json(place: SlotPlace) -> list[object]:
    return [*key_to_json(place.batch), place.index, place.generation]


def place_from_json(data: object) -> SlotPlace:
    match data:
        case [str(run_id), str(batch_id), int(index), int(generation)]:
            return SlotPlace(BatchKey(run_id, batch_id), index, generation)
        case _:
            raise JournalCorrupt("a stored place of a call is not two texts and two numbers.")


def _effect(data: object) -> EffectMark:
    match data:
        case [str(digest), str(idempotency_key)]:
            return EffectMark(digest, idempotency_key)
        case _:
            raise JournalCorrupt("a stored mark of an effect is not a pair of texts.")


def _started(fields: Fields, base: _Base) -> Row:
    effect = fields.part("effect", _effect) if fields.has("effect") else None
    return Started(**base, queued_at=fields.number("queued_at"), effect=effect)


def _content(fields: Fields) -> Payload | None:
    return fields.part("content", payload_from_json) if fields.has("content") else None


def _deduplicated(fields: Fields, base: _Base) -> Row:
    return Deduplicated(
        **base,
        holder=fields.part("holder", place_from_json),
        effect=fields.part("effect", _effect),
        outcome=fields.part_or_none("outcome", payload_from_json),
    )


def _finished(fields: Fields, base: _Base) -> Row:
    return Finished(
        **base,
        outcome=fields.part_or_none("outcome", payload_from_json),
        error=fields.part_or_none("error", ErrorRecord.from_json),
        failed=fields.flag("failed"),
        escaped=fields.flag("escaped"),
        queued_at=fields.number("queued_at"),
        started_at=fields.number("started_at"),
        content=_content(fields),
    )


def _repeated(fields: Fields, base: _Base) -> Row:
    return Repeated(
        **base,
        outcome=fields.part_or_none("outcome", payload_from_json),
        failed=fields.flag("failed"),
        process=fields.text("process"),
    )


def _decided(fields: Fields, base: _Base) -> Row:
    return Decided(
        **base,
        **_result(fields),
        verdict=fields.member("verdict", Verdict),
        by=fields.text("by"),
        why=fields.text("why"),
        decision_id=fields.text("decision_id"),
        version=fields.integer("version"),
        content=_content(fields),
    )


_KINDS: dict[type[Row], str] = {
    Started: "started",
    Withdrawn: "withdrawn",
    Paused: "paused",
    Lost: "lost",
    Finished: "finished",
    Decided: "decided",
    Deduplicated: "deduplicated",
    Refused: "refused",
    Evidence: "evidence",
    Delivered: "delivered",
    Noted: "noted",
    Repeated: "repeated",
    Regenerated: "regenerated",
}
_READERS: dict[str, Callable[[Fields, _Base], Row]] = {
    "started": _started,
    "withdrawn": lambda fields, base: Withdrawn(**base, why=fields.text("why")),
    "paused": lambda _, base: Paused(**base),
    "lost": lambda fields, base: Lost(**base, reason=fields.member("reason", Reason)),
    "finished": _finished,
    "decided": _decided,
    "deduplicated": _deduplicated,
    "refused": lambda fields, base: Refused(**base, error=fields.part("error", ErrorRecord.from_json)),
    "evidence": lambda fields, base: Evidence(**base, **_result(fields), failed=fields.flag("failed")),
    "delivered": lambda fields, base: Delivered(**base, **_result(fields)),
    "noted": lambda fields, base: Noted(**base, note=fields.part("outcome", payload_from_json)),
    "repeated": _repeated,
    "regenerated": lambda fields, base: Regenerated(**base, spec=fields.part("spec", spec_from_json)),
}
