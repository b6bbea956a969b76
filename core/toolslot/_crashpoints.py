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

    `BEFORE_X` is reached when a journal write was decided on and is not yet handed in, `AFTER_X` when its commit was
    acknowledged and no caller has been told yet. A process that dies between the two may or may not have left the
    record. The points of the journal on disk lie inside a write, whichever it is. docs/reliability.md says what
    becomes of a call whose process dies at each of them.
    """

    # --- a batch: its slots, and who works on it
    BEFORE_RESERVE = "before_reserve"
    AFTER_RESERVE = "after_reserve"
    BEFORE_TAKEOVER = "before_takeover"
    AFTER_TAKEOVER = "after_takeover"
    #: let go, and closed if every answer was handed over; no call waits for this write
    BEFORE_RELEASE = "before_release"
    AFTER_RELEASE = "after_release"

    # --- a call: the run of its code
    #: how the effect stands that it names; it may get the result of another call that has had it
    BEFORE_EFFECT = "before_effect"
    AFTER_EFFECT = "after_effect"
    BEFORE_START = "before_start"
    #: the start mark is durable, the tool's code is not entered yet
    AFTER_START = "after_start"
    #: what the code says of itself while it runs
    BEFORE_NOTE = "before_note"
    AFTER_NOTE = "after_note"
    #: the tool's code has returned or raised, its outcome is not even encoded
    AFTER_RETURN = "after_return"
    #: a result or a failure
    BEFORE_FINISH = "before_finish"
    AFTER_FINISH = "after_finish"
    #: an outcome is about to be given to the framework
    BEFORE_DELIVERY = "before_delivery"
    #: it stopped at a question to a person
    BEFORE_WAIT = "before_wait"
    AFTER_WAIT = "after_wait"
    #: its code was not entered, or a reconciler could not tell and the policy says rerun
    BEFORE_WITHDRAW = "before_withdraw"
    AFTER_WITHDRAW = "after_withdraw"
    #: it timed out, was cancelled, or failed in a way that may have come after its effect
    BEFORE_UNKNOWN = "before_unknown"
    AFTER_UNKNOWN = "after_unknown"
    #: the thread of a call that timed out or was cancelled has ended after all
    BEFORE_LATE_RESULT = "before_late_result"
    AFTER_LATE_RESULT = "after_late_result"
    #: another call takes its place (`on_mismatch="lenient"`)
    BEFORE_REGENERATE = "before_regenerate"
    AFTER_REGENERATE = "after_regenerate"

    # --- a call: from its record
    #: a recorded result is about to be handed out again
    BEFORE_REPLAY = "before_replay"
    #: it is decoded, and not handed out yet
    AFTER_REPLAY = "after_replay"
    BEFORE_RECONCILE = "before_reconcile"
    #: the reconciler has answered, and the answer is not recorded
    AFTER_RECONCILE = "after_reconcile"
    #: the answer of a reconciler, or of a person whom the framework asked
    BEFORE_DECIDE = "before_decide"
    AFTER_DECIDE = "after_decide"
    #: the decision of an operator, from outside the run
    BEFORE_RESOLVE = "before_resolve"
    AFTER_RESOLVE = "after_resolve"
    #: what the agent is told of a call that is not settled
    BEFORE_TELLING = "before_telling"
    AFTER_TELLING = "after_telling"

    # --- a run is forgotten
    BEFORE_PURGE = "before_purge"
    AFTER_PURGE = "after_purge"

    # --- inside the journal on disk
    #: its database is whole, and does not stand in its place yet
    IN_CREATION = "in_creation"
    #: it stands in its place, and its id is not kept beside it yet
    AFTER_CREATION = "after_creation"
    #: the transaction has begun and nothing is written
    AFTER_BEGIN = "after_begin"
    #: all is written, COMMIT is not sent
    BEFORE_COMMIT = "before_commit"
    #: COMMIT has returned and nothing is acknowledged
    AFTER_COMMIT = "after_commit"
    #: parts of a large value are written and not committed
    IN_CHUNKS = "in_chunks"
    #: all parts are committed, the row that refers to them is not
    AFTER_CHUNKS = "after_chunks"
    BEFORE_CHECKPOINT = "before_checkpoint"
    AFTER_CHECKPOINT = "after_checkpoint"
    #: some rows of a purged run are deleted, and that is not committed
    IN_DELETION = "in_deletion"
    #: that is committed, and others are left
    AFTER_DELETION = "after_deletion"
    #: their space is about to be given back
    BEFORE_VACUUM = "before_vacuum"
    #: nothing is asked of the journal any more; what is queued may not be written yet
    BEFORE_CLOSE = "before_close"
    #: all is written, nothing is let go
    IN_CLOSE = "in_close"
    #: all is let go
    AFTER_CLOSE = "after_close"


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


#: the trap of this process, if any
armed = _Armed(os.environ.get(VARIABLE))


def reach(point: CrashPoint) -> None:
    """Die here, if a test asked for it."""
    if armed.trap is not None:
        armed.trap.reach(point)


def arm(trap: Trap | None) -> Trap | None:
    """Set the process's one trap, or none, and return the one before."""
    before, armed.trap = armed.trap, trap
    return before
