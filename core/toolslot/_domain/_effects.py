"""The record of an effect: who holds it, and what that says about whether it was had."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from toolslot._codec import ErrorRecord
from toolslot._domain._slot import SlotPlace, SlotState


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """The attempt that has claimed an effect."""

    place: SlotPlace
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgotten:
    """Somebody said that the effect may be had again, or its time was over."""

    at: float
    by: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Purged:
    """What the holder's record said when its run was purged."""

    state: SlotState
    ended_at: float | None = None
    error: ErrorRecord | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """One effect that calls of a journal name, as it is stored. Whether it was had is not stored: its holder's slot tells.

    `key` is for people. `run_id` is given where the scope is one run. `claims` counts who held it; `compared` and `ttl` are those of the
    newest claim. `holder` is None when it was forgotten.
    """

    digest: str
    name: str
    key: str
    run_id: str | None
    idempotency_key: str
    holder: Holder | None
    claims: int
    compared: str | None
    at: float
    ttl: float | None = None
    forgotten: tuple[Forgotten, ...] = ()
    purged: Purged | None = None

    def held_in(self, run_id: str) -> bool:
        """Whether a call of the run holds it."""
        return self.holder is not None and self.holder.place.batch.run_id == run_id

    def forget(self, *, at: float, by: str, why: str) -> Effect:
        """The same as one that was never had."""
        told = Forgotten(at=at, by=by, why=why)
        return replace(self, holder=None, purged=None, forgotten=(*self.forgotten, told))


def is_damaged(effect: Effect) -> bool:
    """Whether it is one that `damaged` gives, and was not forgotten since."""
    return effect.claims == 0 and not effect.forgotten


def damaged(digest: str) -> Effect:
    """What stands in a list for one whose record is damaged."""
    return Effect(
        digest=digest,
        name="(damaged)",
        key="",
        run_id=None,
        idempotency_key="",
        holder=None,
        claims=0,
        compared=None,
        at=0.0,
    )


class EffectState(str, Enum):
    """What the record of its holder says about an effect."""

    #: nobody has begun it, or whoever has certainly did not have it
    FREE = "free"
    #: somebody who is or may be alive is at it
    RUNNING = "running"
    #: its holder stopped at a question; who goes on claims it anew
    WAITING = "waiting"
    #: it was had
    DONE = "done"
    #: its holder began and left no record
    UNKNOWN = "unknown"
    #: its holder failed, perhaps after it was had
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownEffect:
    """An effect, and what its holder's record says of it now."""

    effect: Effect
    state: EffectState


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectPage:
    """Some effects of a journal, and where to go on: `cursor` is None when there are no more."""

    effects: tuple[KnownEffect, ...]
    cursor: str | None


#: how many characters of a key people are shown
LONGEST_KEY = 200
