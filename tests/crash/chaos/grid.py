"""All cells of the matrix, in an order in which any beginning of it is a fair sample."""

from __future__ import annotations

import random
from collections.abc import Iterator

from crash.chaos.plan import ANYWHERE, MODES, POLICIES, STOPPED, Door, Trial, possible
from toolslot.testing import CrashPoint

#: one trial of so many is a race
RACES = 10

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


def racers(number: int, point: str) -> int:
    """How many processes recover at once in the trial of this number: two or three in every tenth, else one after the other."""
    return 2 + number // RACES % 2 if number % RACES == RACES - 1 and point != STOPPED else 0


def trials(first_seed: int = 0, race: int = 0) -> Iterator[Trial]:
    """Every cell once with the first seed, then every cell with the next, without end. With `race`, all are races of so many."""
    seed = first_seed
    while True:
        chosen = cells()
        random.Random(seed).shuffle(chosen)
        for number, (door, mode, policy, point) in enumerate(chosen):
            if race and point == STOPPED:
                continue
            many = race or racers(number, point)
            yield Trial(door=door, mode=mode, policy=policy, point=point, seed=seed, race=many)
        seed += 1


def slice_of(seed: int = 0) -> list[Trial]:
    """One trial for each point, with doors, modes and policies in turn."""
    chosen: list[Trial] = []
    for number, point in enumerate(POINTS):
        fitting = [cell for cell in cells() if cell[3] == point]
        door, mode, policy, _ = fitting[(number * 7 + seed) % len(fitting)]
        chosen.append(Trial(door=door, mode=mode, policy=policy, point=point, seed=seed))
    return chosen


def slice_of_races(seed: int = 0) -> list[Trial]:
    """One race in each door, with modes, policies, points and two or three processes in turn."""
    points = (CrashPoint.AFTER_TAKEOVER.value, CrashPoint.AFTER_START.value)
    return [
        Trial(
            door=door,
            mode=MODES[(number + seed) % len(MODES)],
            policy=POLICIES[(number + seed) % len(POLICIES)],
            point=points[(number + seed) % len(points)],
            seed=seed,
            race=2 + number % 2,
        )
        for number, door in enumerate(Door)
    ]
