"""One owner at work on one batch: makes rows under its epoch, writes them, and looks at what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from toolslot._codec import ErrorRecord, Payload
from toolslot._domain._identity import Owner
from toolslot._domain._notes import encode_note
from toolslot._domain._slot import (
    BatchKey,
    BatchRecord,
    Delivered,
    Finished,
    Lost,
    Noted,
    Paused,
    Reason,
    Regenerated,
    Repeated,
    Row,
    SlotRecord,
    SlotSpec,
    Started,
    Verdict,
    Withdrawn,
)
from toolslot.journal import (
    Append,
    Change,
    Decide,
    Journal,
    JournalView,
    Operation,
    OwnerState,
    Release,
    TakeOver,
)
from toolslot.testing._checks import raises
from toolslot.testing._clock import FakeClock

T = TypeVar("T")

#: seconds to wait for a commit before the test fails
PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """An operation with a bug in it."""

    def change(self, view: JournalView) -> Change[None]:
        raise ZeroDivisionError("a bug in an operation")


@dataclass(frozen=True, kw_only=True, slots=True)
class AskAfter:
    """Asks inside a transaction whether an owner can still be at work, and writes nothing."""

    owner: Owner

    def change(self, view: JournalView) -> Change[OwnerState]:
        return Change((), view.owner_state(self.owner))


def state_of(journal: Journal, owner: Owner) -> OwnerState:
    """Whether that owner can still be at work, as that opener sees it."""
    return do(journal, AskAfter(owner=owner))


def do(journal: Journal, operation: Operation[T]) -> T:
    """Submit it and wait for the commit."""
    return journal.submit(operation).result(PATIENCE)


def text(value: str) -> Payload:
    """A payload; to the journal it is opaque."""
    return Payload(codec="s", data=value.encode("utf-8", "surrogatepass"))


@dataclass(kw_only=True, slots=True)
class Worker:
    """`epoch` is the one it was given; it may be an old one by now."""

    journal: Journal
    key: BatchKey
    owner: Owner
    epoch: int
    clock: FakeClock

    # --- rows, not yet written ----------------------------------------------------------------------------

    def started(self, index: int, attempt: int = 1) -> Started:
        at = self.clock()
        return Started(
            index=index, generation=1, attempt=attempt, epoch=self.epoch, at=at, queued_at=at - 0.25
        )

    def finished(
        self,
        index: int,
        value: str = "done",
        attempt: int = 1,
        *,
        error: ErrorRecord | None = None,
        failed: bool = False,
        escaped: bool = False,
    ) -> Finished:
        at = self.clock()
        return Finished(
            index=index,
            generation=1,
            attempt=attempt,
            epoch=self.epoch,
            at=at,
            outcome=None if error is not None else text(value),
            error=error,
            failed=failed or error is not None,
            escaped=escaped,
            queued_at=at - 0.5,
            started_at=at - 0.25,
        )

    def lost(self, index: int, reason: Reason = Reason.TIMED_OUT, attempt: int = 1) -> Lost:
        return Lost(
            index=index, generation=1, attempt=attempt, epoch=self.epoch, at=self.clock(), reason=reason
        )

    def withdrawn(self, index: int, attempt: int = 1) -> Withdrawn:
        return Withdrawn(
            index=index, generation=1, attempt=attempt, epoch=self.epoch, at=self.clock(), why="never entered"
        )

    def paused(self, index: int, attempt: int = 1) -> Paused:
        return Paused(index=index, generation=1, attempt=attempt, epoch=self.epoch, at=self.clock())

    def delivered(self, index: int, value: str = "nobody knows", attempt: int = 1) -> Delivered:
        return Delivered(
            index=index,
            generation=1,
            attempt=attempt,
            epoch=self.epoch,
            at=self.clock(),
            outcome=text(value),
        )

    def noted(
        self, index: int, what: str = "order 4711 placed", ref: str = "4711", attempt: int = 1
    ) -> Noted:
        return Noted(
            index=index,
            generation=1,
            attempt=attempt,
            epoch=self.epoch,
            at=self.clock(),
            note=encode_note(what, ref),
        )

    def repeated(self, index: int, value: str = "again", *, process: str = "p", attempt: int = 1) -> Repeated:
        return Repeated(
            index=index,
            generation=1,
            attempt=attempt,
            epoch=self.epoch,
            at=self.clock(),
            process=process,
            outcome=text(value),
        )

    def regenerated(self, spec: SlotSpec, generation: int = 2) -> Regenerated:
        return Regenerated(
            index=spec.index, generation=generation, attempt=0, epoch=self.epoch, at=self.clock(), spec=spec
        )

    def decision(
        self, index: int, verdict: Verdict, *, version: int | None = None, epoch: int | None = None
    ) -> Decide:
        """An operator's, or with `epoch` the owner's; on the slot as it is now unless `version` is given."""
        at = self.clock()
        return Decide(
            key=self.key,
            index=index,
            verdict=verdict,
            by="ops@example.org",
            why="looked it up",
            decision_id=f"decision-{at:.0f}",
            version=version if version is not None else self.slot(index).version,
            at=at,
            outcome=text("as decided") if verdict is Verdict.DONE else None,
            error=an_error() if verdict is Verdict.FAILED else None,
            epoch=epoch,
        )

    # --- writing ------------------------------------------------------------------------------------------

    def write(self, row: Row) -> SlotRecord:
        return do(self.journal, Append(key=self.key, row=row))

    def refused(self, error: type[Exception], row: Row) -> None:
        """The journal must refuse the row with this error."""
        with raises(error):
            self.write(row)

    def start(self, index: int, attempt: int = 1) -> SlotRecord:
        return self.write(self.started(index, attempt))

    def finish(self, index: int, value: str = "done", attempt: int = 1) -> SlotRecord:
        return self.write(self.finished(index, value, attempt))

    def run(self, index: int, value: str = "done", attempt: int = 1) -> SlotRecord:
        """Start and finish it."""
        self.start(index, attempt)
        return self.finish(index, value, attempt)

    def doubt(self, index: int, reason: Reason = Reason.TIMED_OUT, attempt: int = 1) -> SlotRecord:
        """Start it and lose it: the slot is UNKNOWN."""
        self.start(index, attempt)
        return self.write(self.lost(index, reason, attempt))

    def decide(self, index: int, verdict: Verdict) -> SlotRecord:
        return do(self.journal, self.decision(index, verdict))

    def release(self, *, closed: bool = False) -> None:
        do(self.journal, Release(key=self.key, epoch=self.epoch, closed=closed))

    def succeed(self, journal: Journal, owner: Owner, *, force: bool = False) -> Worker:
        """Another worker takes the batch over from this one, through that opener."""
        take = TakeOver(
            key=self.key,
            owner=owner,
            expected_epoch=self.epoch,
            at=self.clock(),
            why="took it over",
            force=force,
        )
        record = do(journal, take)
        return Worker(journal=journal, key=self.key, owner=owner, epoch=record.fence.epoch, clock=self.clock)

    # --- looking ------------------------------------------------------------------------------------------

    def record(self) -> BatchRecord:
        record = self.journal.load(self.key).result(PATIENCE)
        if record is None:
            raise AssertionError(f"the journal does not know batch {self.key}")
        return record

    def slot(self, index: int) -> SlotRecord:
        return self.record().slots[index]

    def through(self, journal: Journal) -> Worker:
        """The same owner and epoch, through another opener."""
        return replace(self, journal=journal)


def an_error(message: str = "card declined") -> ErrorRecord:
    """What a tool raised, as the journal keeps it; every field holds something."""
    return ErrorRecord(
        type_name="bank.Declined",
        message=message,
        args=(message, 51, 0.5, None, [True, {"code": "05"}]),
        notes=("asked twice", ""),
        cause=ErrorRecord(type_name="builtins.OSError", message="", args=()),
        traceback='File "bank.py", line 1\n',
    )
