"""Where a test may kill the process around the write of a row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._slot import (
    Delivered,
    Finished,
    Lost,
    Paused,
    Regenerated,
    Repeated,
    Row,
    SlotRecord,
    Started,
    Withdrawn,
)

#: of the rows that a batch run writes; decisions and evidence are written by verbs of their own
_POINTS: dict[type, tuple[CrashPoint, CrashPoint]] = {
    Started: (CrashPoint.BEFORE_START, CrashPoint.AFTER_START),
    Withdrawn: (CrashPoint.BEFORE_WITHDRAW, CrashPoint.AFTER_WITHDRAW),
    Paused: (CrashPoint.BEFORE_WAIT, CrashPoint.AFTER_WAIT),
    Lost: (CrashPoint.BEFORE_UNKNOWN, CrashPoint.AFTER_UNKNOWN),
    Finished: (CrashPoint.BEFORE_FINISH, CrashPoint.AFTER_FINISH),
    Repeated: (CrashPoint.BEFORE_FINISH, CrashPoint.AFTER_FINISH),
    Delivered: (CrashPoint.BEFORE_TELLING, CrashPoint.AFTER_TELLING),
    Regenerated: (CrashPoint.BEFORE_REGENERATE, CrashPoint.AFTER_REGENERATE),
}


def before_write(row: Row) -> None:
    """The row is about to be handed in."""
    reach(_POINTS[type(row)][0])


def after_write(row: Row) -> None:
    """The row is durable, and the waiting entrant knows."""
    reach(_POINTS[type(row)][1])


def if_written(then: Callable[[SlotRecord], None]) -> Callable[[Future[SlotRecord]], None]:
    """A callback for the future of a row: `then` gets the slot, unless the row was refused."""

    def done(future: Future[SlotRecord]) -> None:
        if not future.cancelled() and future.exception() is None:
            then(future.result())

    return done
