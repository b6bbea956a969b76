"""The negative control: on every broken build, the first trials of a few cells must show a violation."""

from __future__ import annotations

from collections.abc import Iterator

from crash.chaos.broken import CONTROLS
from crash.chaos.plan import STOPPED, Door, Trial
from toolslot.testing import CrashPoint

#: where each of them shows first: (policy, point)
WHERE = {
    "acks_before_commit": ("reconcile", CrashPoint.BEFORE_COMMIT.value),
    "forgets_start_marks": ("fail", CrashPoint.AFTER_RETURN.value),
    "ignores_the_epoch": ("rerun", STOPPED),
    "records_by_completion": ("reconcile", CrashPoint.AFTER_FINISH.value),
    "keys_by_call_id": ("rerun", CrashPoint.BEFORE_RELEASE.value),
    "swallows_refusals": ("fail", STOPPED),
    "evicts": ("reconcile", CrashPoint.AFTER_FINISH.value),
}
assert WHERE.keys() == CONTROLS.keys()

#: trials in which a broken build must have been caught
ENOUGH = 12


def attempts(control: str, mode: str = "sync", door: Door = Door.PLAIN) -> Iterator[Trial]:
    """Trials of one broken build, likely ones first."""
    policy, point = WHERE[control]
    for seed in range(1, 2 * ENOUGH, 2):  # with even ones the process dies at the very first chance
        yield Trial(door=door, mode=mode, policy=policy, point=point, seed=seed, control=control)
