"""What the promises say about one batch, in as few words as they can be said. It keeps no rows and knows no fold.

Each verb answers with the error that must come, None when something is written, or `IGNORED` when nothing new is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from toolslot._domain._slot import Reason, SlotState, Verdict
from toolslot._errors import BatchClosed, DecisionRefused, Fenced, ToolslotError

S = SlotState


class Ignored:
    """Nothing new was said: no error, and nothing is written."""


IGNORED = Ignored()
Answer: TypeAlias = "type[ToolslotError] | Ignored | None"

_DECIDED = {Verdict.DONE: S.SUCCEEDED, Verdict.FAILED: S.FAILED, Verdict.RERUN: S.RESERVED}


@dataclass
class RefSlot:
    """Where one call stands."""

    idempotent: bool = False
    state: SlotState = S.RESERVED
    generation: int = 1
    attempt: int = 0
    reason: Reason | None = None
    outcome: bytes | None = None
    escaped: bool = False
    told: bytes | None = None
    #: rows written so far, and the results among them that came too late
    rows: int = 0
    late: list[bytes] = field(default_factory=lambda: [])

    @property
    def final(self) -> bool:
        return self.state is S.SUCCEEDED or (self.state is S.FAILED and not self.escaped)

    def seen_from(self, attempt: int, generation: int) -> SlotState | None:
        """The state of that attempt. An idempotent call leaves no start mark: its next attempt may be running."""
        if generation != self.generation:
            return None
        if attempt == self.attempt:
            return self.state
        return S.RUNNING if self.idempotent and attempt > self.attempt and not self.final else None

    def becomes(self, state: SlotState, attempt: int, **what: object) -> None:
        if attempt != self.attempt:
            self.told = None
        self.reason, self.outcome, self.escaped = None, None, False
        self.state, self.attempt, self.rows = state, attempt, self.rows + 1
        for name, value in what.items():
            setattr(self, name, value)


@dataclass
class RefBatch:
    """Who may write, and the slots."""

    slots: list[RefSlot]
    epoch: int = 1
    holder: int = 0
    held: bool = True
    #: its owner
    lives: bool = True
    closed: bool = False

    def start(self, epoch: int, index: int, attempt: int, generation: int) -> Answer:
        slot = self.slots[index]
        if epoch == self.epoch and self.closed:
            return BatchClosed
        busy = slot.final or slot.state is S.RUNNING
        if (
            epoch != self.epoch
            or not self.held
            or busy
            or (attempt, generation) != (slot.attempt + 1, slot.generation)
        ):
            return Fenced
        slot.becomes(S.RUNNING, attempt)
        return None

    def finish(
        self,
        epoch: int,
        index: int,
        attempt: int,
        generation: int,
        data: bytes,
        *,
        failed: bool,
        escaped: bool,
    ) -> Answer:
        slot = self.slots[index]
        seen = slot.seen_from(attempt, generation)
        counts = seen is S.RUNNING or (
            seen is S.UNKNOWN and slot.reason in (Reason.TIMED_OUT, Reason.CANCELLED)
        )
        if epoch == self.epoch and not self.closed and counts:
            slot.becomes(S.FAILED if failed else S.SUCCEEDED, attempt, outcome=data, escaped=escaped)
            return None
        slot.rows += 1
        if generation == slot.generation:
            slot.late.append(data)
        return Fenced

    def lose(self, epoch: int, index: int, attempt: int, generation: int, reason: Reason) -> Answer:
        slot = self.slots[index]
        seen = slot.seen_from(attempt, generation)
        doubted = seen is S.FAILED and slot.escaped and reason is Reason.ESCAPED
        if answer := self._said(epoch, seen is S.RUNNING or doubted):
            return answer
        slot.becomes(S.UNKNOWN, attempt, reason=reason, outcome=slot.outcome if doubted else None)
        return None

    def withdraw(self, epoch: int, index: int, attempt: int, generation: int) -> Answer:
        slot = self.slots[index]
        here = (attempt, generation) == (slot.attempt, slot.generation)
        if answer := self._said(epoch, here and slot.state in (S.RUNNING, S.UNKNOWN)):
            return answer
        slot.becomes(S.RESERVED, attempt)
        return None

    def pause(self, epoch: int, index: int, attempt: int, generation: int) -> Answer:
        slot = self.slots[index]
        if answer := self._said(epoch, slot.seen_from(attempt, generation) is S.RUNNING):
            return answer
        slot.becomes(S.WAITING, attempt)
        return None

    def deliver(self, epoch: int, index: int, attempt: int, generation: int, data: bytes) -> Answer:
        slot = self.slots[index]
        here = (attempt, generation) == (slot.attempt, slot.generation)
        untold = slot.state in (S.UNKNOWN, S.RESERVED) and slot.told is None
        if answer := self._said(epoch, here and untold):
            return answer
        slot.told, slot.rows = data, slot.rows + 1
        return None

    def regenerate(self, epoch: int, index: int, generation: int) -> Answer:
        slot = self.slots[index]
        if epoch == self.epoch and self.closed:
            return BatchClosed
        if epoch != self.epoch or generation != slot.generation + 1:
            return Fenced
        slot.becomes(S.RESERVED, 0, generation=generation, told=None, late=[])
        return None

    def decide(self, index: int, verdict: Verdict, version: int, data: bytes, epoch: int | None) -> Answer:
        slot = self.slots[index]
        if epoch is not None and epoch != self.epoch:
            return Fenced
        if slot.state is not S.UNKNOWN or version != slot.rows:
            return DecisionRefused
        if verdict is Verdict.RERUN and self.closed:
            return BatchClosed
        slot.becomes(_DECIDED[verdict], slot.attempt, outcome=None if verdict is Verdict.RERUN else data)
        return None

    def release(self, epoch: int, *, closed: bool) -> Answer:
        if epoch != self.epoch:
            return Fenced
        self.held, self.closed = False, self.closed or closed
        return None

    def take_over(self, holder: int, expected: int, *, force: bool) -> Answer:
        living = self.held and self.lives
        if expected != self.epoch or (living and not force):
            return IGNORED
        self.epoch, self.holder, self.held, self.lives = self.epoch + 1, holder, True, True
        for slot in self.slots:
            if slot.state is S.RUNNING:
                reason = Reason.TAKEN_OVER if living else Reason.OWNER_DIED
                slot.becomes(S.UNKNOWN, slot.attempt, reason=reason)
        return None

    def _said(self, epoch: int, counts: bool) -> Answer:
        return Fenced if epoch != self.epoch else None if counts else IGNORED
