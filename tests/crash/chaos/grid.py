"""All cells of the matrix, in an order in which any beginning of it is a fair sample."""

from __future__ import annotations

import random
from collections.abc import Iterator

from crash.chaos.plan import ANYWHERE, MODES, POLICIES, STOPPED, Door, Trial, possible
from toolslot.testing import CrashPoint

POINTS = (*(point.value for point in CrashPoint), ANYWHERE, STOPPED)


def cells() -> list[tuple[Door, str, str, str]]:
    return [
        (door, mode, policy, point)
        for point in POINTS
        for door in Door
        for mode in MODES
        for policy in POLICIES
        if possible(door, mode, policy, point)
    ]


def trials(first_seed: int = 0) -> Iterator[Trial]:
    """Every cell once with the first seed, then every cell with the next, without end."""
    seed = first_seed
    while True:
        chosen = cells()
        random.Random(seed).shuffle(chosen)
        for door, mode, policy, point in chosen:
            yield Trial(door=door, mode=mode, policy=policy, point=point, seed=seed)
        seed += 1


def slice_of(seed: int = 0) -> list[Trial]:
    """One trial for each point, with doors, modes and policies in turn."""
    chosen: list[Trial] = []
    for number, point in enumerate(POINTS):
        fitting = [cell for cell in cells() if cell[3] == point]
        door, mode, policy, _ = fitting[(number * 7 + seed) % len(fitting)]
        chosen.append(Trial(door=door, mode=mode, policy=policy, point=point, seed=seed))
    return chosen
