"""Whether an effect was had: read from its holder's slot and that one's owner, never stored."""

from __future__ import annotations

from dataclasses import dataclass, replace

from typing_extensions import assert_never

from toolslot._codec import ErrorRecord
from toolslot._domain._effects import Effect, EffectState, KnownEffect, Purged
from toolslot._domain._identity import OwnerState
from toolslot._domain._slot import BatchRecord, Reason, SlotRecord, SlotState
from toolslot._domain._state import BatchState, JournalView, PutEffect
from toolslot._errors import EffectUnsettled, JournalCorrupt
from toolslot._text import quoted, shown

#: reasons for which a call of a living owner is unknown while it may still come to an end
_MAY_GO_ON = (Reason.TIMED_OUT, Reason.CANCELLED, Reason.ESCAPED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """An effect as its holder's record tells it. `slot` and `batch` are the holder's; None where nobody holds it, or it was purged."""

    state: EffectState
    batch: BatchState | None = None
    slot: SlotRecord | None = None


def standing_of(view: JournalView, effect: Effect, now: float) -> Standing:
    """What is known of an effect at the time `now`.

    Raises:
        JournalCorrupt: its holder's record is missing.
    """
    if effect.holder is None:
        return Standing(state=EffectState.FREE)
    if effect.purged is not None:
        return Standing(state=_after_purge(effect, effect.purged, now))
    place = effect.holder.place
    batch = view.state(place.batch)
    if batch is None:
        raise JournalCorrupt(
            f"{place}, which holds an effect of {shown(effect.name)}, is not in the journal any more, so it is not known whether the"
            " effect was had. Run `toolslot doctor`; `toolslot forget-effect` has it run again."
        )
    slot = batch.slot_of(place.index, place.generation)
    at_work = batch.fence.held and view.owner_state(batch.fence.owner) is not OwnerState.DEAD
    state = _state(slot, at_work=at_work, closed=batch.fence.closed)
    if state is EffectState.DONE and _over(effect, slot.ended_at, now):
        state = EffectState.FREE
    return Standing(state=state, batch=batch, slot=slot)


def _state(slot: SlotRecord, *, at_work: bool, closed: bool) -> EffectState:
    match slot.state:
        case SlotState.RESERVED:
            return EffectState.FREE
        case SlotState.WAITING:
            return EffectState.WAITING
        case SlotState.SUCCEEDED:
            return EffectState.DONE
        case SlotState.RUNNING:
            return EffectState.RUNNING if at_work else EffectState.UNKNOWN
        case SlotState.UNKNOWN:
            goes_on = at_work and not closed and slot.reason in _MAY_GO_ON
            return EffectState.RUNNING if goes_on else EffectState.UNKNOWN
        case SlotState.FAILED:
            if slot.decision is not None:
                return EffectState.FREE  # somebody knows that it failed for good
            return EffectState.RUNNING if slot.escaped and at_work and not closed else EffectState.FAILED
        case _:
            assert_never(slot.state)


def _after_purge(effect: Effect, purged: Purged, now: float) -> EffectState:
    if purged.state is SlotState.SUCCEEDED:
        return EffectState.FREE if _over(effect, purged.ended_at, now) else EffectState.DONE
    return EffectState.FAILED if purged.state is SlotState.FAILED else EffectState.FREE


def _over(effect: Effect, ended_at: float | None, now: float) -> bool:
    """Whether the time is over for which it is not had again."""
    return effect.ttl is not None and ended_at is not None and now >= ended_at + effect.ttl


def known(view: JournalView, effect: Effect, now: float) -> KnownEffect:
    """For views. Where the holder's record is missing nobody knows."""
    try:
        state = standing_of(view, effect, now).state
    except JournalCorrupt:
        state = EffectState.UNKNOWN
    return KnownEffect(effect=effect, state=state)


def doubt_of(record: BatchRecord, slot: SlotRecord) -> Reason | None:
    """Why whoever asks for the effect again finds a call of unknown outcome, where its own record does not say so yet."""
    state = _state(slot, at_work=record.held, closed=record.fence.closed)
    if state is EffectState.FAILED:
        return Reason.ESCAPED
    return Reason.OWNER_DIED if state is EffectState.UNKNOWN and slot.state is SlotState.RUNNING else None


def before_purge(view: JournalView, run_id: str, now: float) -> tuple[PutEffect, ...]:
    """What is kept of the effects that calls of a run hold, when the run is forgotten.

    Raises:
        EffectUnsettled: one of them is under way, or nobody knows whether it was had.
    """
    return tuple(
        PutEffect(effect=_kept(view, effect, run_id, now), before=effect)
        for effect in view.effects_of(run_id)
        if effect.holder is not None and effect.purged is None
    )


def _kept(view: JournalView, effect: Effect, run_id: str, now: float) -> Effect:
    found = standing_of(view, effect, now)
    slot = found.slot
    assert slot is not None, "it is held, and not purged yet"
    if found.state in (EffectState.RUNNING, EffectState.UNKNOWN):
        raise EffectUnsettled(
            f"run {quoted(run_id)} is not forgotten: {effect.holder and effect.holder.place} ({shown(effect.name)}) has an effect key and"
            f" is {found.state.value}, and with its record nobody could find out any more whether it was done. Let it come to its end, or"
            " settle it with `toolslot resolve`."
        )
    if found.state is EffectState.FREE and slot.state is SlotState.SUCCEEDED:
        # Its time is over: what it was is forgotten, and that it was had before is not, for it must have another idempotency key.
        return replace(effect.forget(at=now, by="toolslot", why="its effect_ttl is over"), key="")
    state = slot.state if found.state in (EffectState.DONE, EffectState.FAILED) else SlotState.RESERVED
    return replace(effect, purged=Purged(state=state, ended_at=slot.ended_at, error=_type_of(slot.error)))


def _type_of(error: ErrorRecord | None) -> ErrorRecord | None:
    """What policies look at; what a failure said of its arguments goes with the run."""
    return None if error is None else ErrorRecord(type_name=error.type_name, message="", bases=error.bases)
