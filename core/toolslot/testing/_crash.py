"""Dying at a chosen point of a call's life."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from toolslot._crashpoints import VARIABLE, CrashPoint, Trap, arm, die


def crash_environment(point: CrashPoint | str, nth: int = 1) -> dict[str, str]:
    """The environment variable that makes a child process die when it reaches `point` for the `nth` time.

    Merge it into the `env` of the child. Its own children inherit it and count for themselves.

    Raises:
        ValueError: there is no such point.
        InvalidSetting: `nth` is less than 1.
    """
    point = CrashPoint(point)
    Trap(point, nth)
    return {VARIABLE: f"{point.value}:{nth}"}


@contextmanager
def crash_at(
    point: CrashPoint | str, nth: int = 1, *, action: Callable[[], None] = die
) -> Generator[None, None, None]:
    """Inside the block, die (or do `action`) when this process reaches `point` for the `nth` time.

    An `action` that raises shows what the code around the point does with an error there; it says nothing about
    death, which runs no `finally`. A process has one such trap at a time; an inner block replaces an outer one.
    """
    before = arm(Trap(CrashPoint(point), nth, action))
    try:
        yield
    finally:
        arm(before)
