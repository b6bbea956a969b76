"""For which other calls one may be waiting that has nothing to decide."""

from __future__ import annotations

from collections.abc import Iterator

from toolslot._domain._slot import BatchKey, SlotState
from toolslot._errors import JournalCorrupt
from toolslot._text import shown
from toolslot._views import CallView, EffectState, EffectView, Insights, PlaceView
from toolslot.cli._calls import as_word, place

#: effects that are named
_MOST = 5


def doubtful_effects(insights: Insights, call: CallView) -> str:
    """What to say of effects of the call's tool that are in doubt, if it has not begun and may be waiting for one of them."""
    if call.state is not SlotState.RESERVED:
        return ""
    found = list(_in_doubt(insights, call.tool))
    if not found:
        return ""
    named = "; ".join(_named(holder, effect) for effect, holder in found[:_MOST])
    more = f"; and {len(found) - _MOST} more, see `toolslot effects`" if len(found) > _MOST else ""
    return f" It may wait for another call, which has an effect of this tool and must be decided first: {named}{more}."


def _in_doubt(insights: Insights, tool: str) -> Iterator[tuple[EffectView, CallView]]:
    for effect in insights.effects():
        if effect.state in (EffectState.UNKNOWN, EffectState.FAILED) and effect.holder is not None:
            holder = _call_at(insights, effect.holder)
            if holder is not None and tool in (effect.tool, holder.tool):
                yield effect, holder


def _call_at(insights: Insights, at: PlaceView) -> CallView | None:
    """None where it is not there any more, or cannot be read; of that `toolslot doctor` tells."""
    try:
        batch = insights.batch(BatchKey(at.run_id, at.batch_id))
    except JournalCorrupt:
        return None
    found = None if batch is None else batch.calls[at.index]
    return found if found is not None and found.generation == at.generation else None


def _named(holder: CallView, effect: EffectView) -> str:
    begin = "-- " if holder.run_id.startswith("-") else ""
    command = f"toolslot resolve {begin}{as_word(holder.run_id)} {as_word(place(holder))}"
    return f"{effect.holder}, {effect.state.value} ({shown(command, 500)})"
