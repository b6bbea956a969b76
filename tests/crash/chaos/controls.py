"""The negative control: on every broken build, the first trials of a few cells must show a violation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

from crash.chaos.broken import CONTROLS
from crash.chaos.plan import STOPPED, Door, Kind, Trial
from toolslot.testing import CrashPoint

#: where each of them shows first: (policy, point, how many recover at once)
WHERE = {
    "acks_before_commit": ("reconcile", CrashPoint.BEFORE_COMMIT.value, 0),
    "forgets_start_marks": ("fail", CrashPoint.AFTER_RETURN.value, 0),
    "ignores_the_epoch": ("rerun", STOPPED, 0),
    "records_by_completion": ("reconcile", CrashPoint.AFTER_FINISH.value, 0),
    "keys_by_call_id": ("rerun", CrashPoint.BEFORE_RELEASE.value, 0),
    "swallows_refusals": ("fail", STOPPED, 0),
    "evicts": ("reconcile", CrashPoint.AFTER_FINISH.value, 0),
    "forgets_notes": ("reconcile", CrashPoint.BEFORE_FINISH.value, 0),
    "claims_too_late": ("reconcile", CrashPoint.BEFORE_FINISH.value, 0),
    "takes_from_the_living": ("rerun", CrashPoint.BEFORE_RELEASE.value, 3),
}
assert WHERE.keys() == CONTROLS.keys()

#: trials in which a broken build must have been caught
ENOUGH = 24


def attempts(control: str, mode: str = "sync", door: Door = Door.PLAIN) -> Iterator[Trial]:
    """Trials of one broken build, likely ones first."""
    return islice(filter(_likely, _trials(control, mode, door)), ENOUGH)


def _trials(control: str, mode: str, door: Door) -> Iterator[Trial]:
    policy, point, race = WHERE[control]
    for seed in count(1, 2):  # with even ones the process dies at the very first chance
        yield Trial(door=door, mode=mode, policy=policy, point=point, seed=seed, race=race, control=control)


def _likely(trial: Trial) -> bool:
    """In a race, several calls of each process must see the dead owner; notes are forgotten only of calls that make some, and effects are
    claimed only by calls that name some.
    """
    if trial.control == "claims_too_late":
        return sum(call.kind is Kind.KEYED for call in trial.calls) > 1
    if trial.control == "forgets_notes":
        return sum(call.kind is Kind.NOTE for call in trial.calls) * 2 > len(trial.calls)
    return not trial.race or min(trial.limit, len(trial.calls)) > 2
