"""What there is to know of an effect, for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from toolslot._text import shown
from toolslot._views import EffectState, EffectView
from toolslot.cli._console import moment_text
from toolslot.cli._numbers import count
from toolslot.cli._pending_report import Parts

_STYLES: Mapping[EffectState, str] = MappingProxyType(
    {
        EffectState.FREE: "dim",
        EffectState.RUNNING: "blue",
        EffectState.WAITING: "cyan",
        EffectState.DONE: "green",
        EffectState.UNKNOWN: "bold magenta",
        EffectState.FAILED: "red",
    }
)


def report(effect: EffectView) -> Iterator[Parts]:
    """The lines, each in parts with their styles."""
    yield (
        (shown(effect.tool), "bold"),
        f"  {effect.key_text}  ",
        (effect.state.value, _STYLES[effect.state]),
        (", purged" if effect.purged else "", "dim"),
        (f", since {moment_text(effect.since)} UTC", "dim"),
    )
    if effect.run_id is not None:
        yield (("  only in run     ", "dim"), shown(effect.run_id))
    if effect.holder is not None:
        yield (("  held by         ", "dim"), str(effect.holder))
    another = "" if effect.holder is not None else " (the next call gets another)"
    yield (("  idempotency key ", "dim"), f"{effect.idempotency_key}{another}")
    if effect.forgotten:
        last = effect.forgotten[-1]
        why = f": {shown(last.why)}" if last.why else ""
        times = count(len(effect.forgotten), "time")
        yield (
            ("  forgotten       ", "dim"),
            f"{times}, the last by {shown(last.by)} at {moment_text(last.at)} UTC{why}",
        )
