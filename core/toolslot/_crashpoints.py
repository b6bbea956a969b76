"""Points in the life of a call at which a test may kill the process.

Without such a test, `reach` costs one check for None.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from enum import Enum

from toolslot._errors import InvalidSetting

#: "<point>" or "<point>:<n>": die when <point> is reached for the n-th time in this process. Child
#: processes inherit it.
VARIABLE = "TOOLSLOT_CRASH_AT"


class CrashPoint(str, Enum):
    """Where a process may die.

    `BEFORE_X` is reached when the operation was decided on and is not yet handed to the journal, `AFTER_X`
    when its commit was acknowledged and nobody has been told yet. A process that dies between the two may
    or may not have left the record.
    """

    BEFORE_RESERVE = "before_reserve"
    AFTER_RESERVE = "after_reserve"
    BEFORE_TAKEOVER = "before_takeover"
    AFTER_TAKEOVER = "after_takeover"
    BEFORE_START = "before_start"
    #: the start mark is durable, the tool's code is not entered yet
    AFTER_START = "after_start"
    #: the tool's code has returned or raised, its outcome is not even encoded
    AFTER_RETURN = "after_return"
    BEFORE_FINISH = "before_finish"
    AFTER_FINISH = "after_finish"
    BEFORE_DECIDE = "before_decide"
    AFTER_DECIDE = "after_decide"
    #: a recorded result is about to be handed out again
    BEFORE_REPLAY = "before_replay"
    #: an outcome is about to be given to the framework
    BEFORE_DELIVERY = "before_delivery"
    BEFORE_RELEASE = "before_release"
    AFTER_RELEASE = "after_release"


def die() -> None:
    """End this process at once: no `finally`, no `atexit`, no flush.

    SIGKILL, or its nearest relative on Windows.
    """
    if sys.platform != "win32":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(137)


class Trap:
    """Calls `action` when `point` is reached for the `nth` time, counted over all threads.

    It springs once.
    """

    __slots__ = ("_action", "_left", "_lock", "_point")

    def __init__(self, point: CrashPoint, nth: int = 1, action: Callable[[], None] = die) -> None:
        if nth < 1:
            raise InvalidSetting(f"crash at {point.value}, time {nth}: times are counted from 1.")
        self._point = point
        self._left = nth
        self._action = action
        self._lock = threading.Lock()

    @classmethod
    def parse(cls, text: str) -> Trap:
        """`"after_start"` or `"after_start:2"`.

        Raises:
            InvalidSetting: the text names no crash point, or a count that is none.
        """
        name, _, count = text.partition(":")
        try:
            return cls(CrashPoint(name), int(count or "1"))
        except ValueError:
            known = ", ".join(point.value for point in CrashPoint)
            raise InvalidSetting(
                f"{VARIABLE}={text!r} is not understood: write <point> or <point>:<n>, n >= 1, with one of"
                f" {known}."
            ) from None

    def reach(self, point: CrashPoint) -> None:
        if point is not self._point:
            return
        with self._lock:
            self._left -= 1
            springs = self._left == 0
        if springs:
            self._action()


class _Armed:
    __slots__ = ("trap",)

    def __init__(self, text: str | None) -> None:
        self.trap = Trap.parse(text) if text else None


_armed = _Armed(os.environ.get(VARIABLE))


def reach(point: CrashPoint) -> None:
    """Die here, if a test asked for it."""
    if _armed.trap is not None:
        _armed.trap.reach(point)


def arm(trap: Trap | None) -> Trap | None:
    """Set the process's one trap, or none, and return the one before."""
    before, _armed.trap = _armed.trap, trap
    return before
