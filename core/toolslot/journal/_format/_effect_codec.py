"""The record of an effect as JSON, and back. Strict, as the codec of rows is."""

from __future__ import annotations

from itertools import zip_longest
from math import isfinite
from typing import cast

from toolslot._codec import ErrorRecord
from toolslot._domain._effects import Effect, Forgotten, Holder, Purged
from toolslot._domain._slot import SlotState
from toolslot._errors import JournalCorrupt
from toolslot.journal._format._fields import Fields
from toolslot.journal._format._row_codec import place_from_json, place_to_json

#: what stands for a reason that is encrypted, and its key not at hand
_HIDDEN = "(encrypted)"


def effect_to_json(effect: Effect) -> dict[str, object]:
    """What may be secret (`label`, `reasons`, `error`) stands in fields of its own."""
    holder, purged = effect.holder, effect.purged
    return {
        "digest": effect.digest,
        "name": effect.name,
        "label": effect.key,
        "run_id": effect.run_id,
        "idempotency_key": effect.idempotency_key,
        "holder": None if holder is None else [place_to_json(holder.place), holder.attempt],
        "claims": effect.claims,
        "compared": effect.compared,
        "at": effect.at,
        "ttl": effect.ttl,
        "forgotten": [[each.at, each.by] for each in effect.forgotten],
        "reasons": [each.why for each in effect.forgotten],
        "purged": None if purged is None else [purged.state.value, purged.ended_at],
        "error": None if purged is None or purged.error is None else purged.error.to_json(),
    }


def effect_from_json(data: object) -> Effect:
    """The record that `effect_to_json` wrote.

    Raises:
        JournalCorrupt: something is missing, unknown, or of the wrong type.
    """
    fields = Fields(data, "effect")
    error = fields.part_or_none("error", ErrorRecord.from_json)
    effect = Effect(
        digest=fields.text("digest"),
        name=fields.text("name"),
        key=fields.text("label"),
        run_id=fields.text_or_none("run_id"),
        idempotency_key=fields.text("idempotency_key"),
        holder=fields.part_or_none("holder", _holder),
        claims=fields.integer("claims"),
        compared=fields.text_or_none("compared"),
        at=fields.number("at"),
        ttl=fields.part_or_none("ttl", _number),
        forgotten=_forgotten(fields.items("forgotten"), fields.items("reasons")),
        purged=fields.part_or_none("purged", lambda said: _purged(said, error)),
    )
    fields.done()
    return effect


def _pair(data: object) -> tuple[object, object]:
    parts = cast("list[object]", data) if isinstance(data, list) else []
    if len(parts) != 2:
        raise JournalCorrupt("a stored effect has something else where two values belong.")
    return parts[0], parts[1]


def _holder(data: object) -> Holder:
    place, attempt = _pair(data)
    if type(attempt) is not int:
        raise JournalCorrupt("the stored holder of an effect is not a place and a number.")
    return Holder(place=place_from_json(place), attempt=attempt)


def _number(data: object) -> float:
    if isinstance(data, bool) or not isinstance(data, (int, float)) or not isfinite(data):
        raise JournalCorrupt("a stored effect has something else where a number of seconds belongs.")
    return data


def _purged(data: object, error: ErrorRecord | None) -> Purged:
    state, ended_at = _pair(data)
    return Purged(
        state=SlotState(state), ended_at=None if ended_at is None else _number(ended_at), error=error
    )


def _forgotten(said: list[object], reasons: list[object]) -> tuple[Forgotten, ...]:
    found: list[Forgotten] = []
    for each, why in zip_longest(said, reasons, fillvalue=_HIDDEN):
        at, by = _pair(each)
        if not (isinstance(by, str) and isinstance(why, str)):
            raise JournalCorrupt("who had a stored effect forgotten cannot be read.")
        found.append(Forgotten(at=_number(at), by=by, why=why))
    return tuple(found)
