"""The contract of start marks: when an attempt may begin."""

from __future__ import annotations

from dataclasses import replace

from toolslot._domain._slot import Reason, SlotState
from toolslot._errors import BatchClosed, BatchMismatch, Fenced
from toolslot.testing._checks import cases, same
from toolslot.testing._kit import JournalKit

_LOSSES = {reason.value: reason for reason in Reason}


class StartingContract(JournalKit):
    """Start marks."""

    def test_a_started_call_runs(self) -> None:
        worker = self.worker(2)
        mark = worker.started(1)
        slot = worker.write(mark)
        same((slot.state, slot.attempt, slot.epoch, slot.version), (SlotState.RUNNING, 1, 1, 1), "slot")
        same((slot.queued_at, slot.started_at), (mark.queued_at, mark.at), "times")
        same(worker.slot(1), slot, "loaded")
        same(worker.slot(0).state, SlotState.RESERVED, "the other call")

    def test_the_same_start_mark_again_changes_nothing(self) -> None:
        worker = self.worker(1)
        mark = worker.started(0)
        first = worker.write(mark)
        same(worker.write(mark), first, "slot")
        same(worker.slot(0), first, "loaded")

    def test_another_start_mark_of_the_same_attempt_is_fenced(self) -> None:
        worker = self.worker(1)
        before = worker.start(0)
        worker.refused(Fenced, worker.started(0))
        same(worker.slot(0), before, "slot")

    def test_no_second_attempt_starts_while_the_first_one_runs(self) -> None:
        worker = self.worker(1)
        before = worker.start(0)
        worker.refused(Fenced, worker.started(0, attempt=2))
        same(worker.slot(0), before, "slot")

    @cases("attempt", {"none": 0, "skipped": 2, "negative": -1})
    def test_attempts_start_in_their_order(self, attempt: int) -> None:
        worker = self.worker(1)
        worker.refused(Fenced, worker.started(0, attempt))
        same(worker.slot(0).version, 0, "version")

    def test_a_call_with_a_result_never_starts_again(self) -> None:
        worker = self.worker(1)
        before = worker.run(0)
        worker.refused(Fenced, worker.started(0, attempt=2))
        same(worker.slot(0), before, "slot")

    def test_a_failure_that_reached_the_agent_never_starts_again(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        before = worker.write(worker.finished(0, failed=True))
        same((before.state, before.final), (SlotState.FAILED, True), "slot")
        worker.refused(Fenced, worker.started(0, attempt=2))
        same(worker.slot(0), before, "slot")

    def test_a_failure_that_escaped_may_start_again(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        slot = worker.write(worker.finished(0, failed=True, escaped=True))
        same((slot.state, slot.escaped, slot.final), (SlotState.FAILED, True, False), "slot")
        slot = worker.start(0, attempt=2)
        same((slot.state, slot.attempt, slot.escaped), (SlotState.RUNNING, 2, False), "slot")

    @cases("reason", _LOSSES)
    def test_a_call_that_nobody_knows_of_may_start_again(self, reason: Reason) -> None:
        worker = self.worker(1)
        worker.doubt(0, reason)
        slot = worker.start(0, attempt=2)
        same((slot.state, slot.attempt, slot.reason), (SlotState.RUNNING, 2, None), "slot")

    def test_an_attempt_that_came_back_does_not_start_by_its_old_mark(self) -> None:
        worker = self.worker(1)
        mark = worker.started(0)
        worker.write(mark)
        worker.write(worker.withdrawn(0))
        worker.refused(Fenced, mark)

    def test_nothing_of_a_closed_batch_starts(self) -> None:
        worker = self.worker(2)
        worker.release(closed=True)
        worker.refused(BatchClosed, worker.started(0))
        same(worker.slot(0).state, SlotState.RESERVED, "state")

    def test_nothing_of_a_closed_batch_starts_after_a_take_over_either(self) -> None:
        worker = self.worker(1)
        worker.release(closed=True)
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        later.refused(BatchClosed, later.started(0))

    def test_nothing_starts_once_the_owner_let_go(self) -> None:
        worker = self.worker(1)
        worker.release()
        worker.refused(Fenced, worker.started(0))
        same(worker.slot(0).state, SlotState.RESERVED, "state")

    def test_nothing_starts_with_an_old_epoch(self) -> None:
        worker = self.worker(1)
        worker.succeed(worker.journal, self.owner(worker.journal))
        worker.refused(Fenced, worker.started(0))
        same(worker.slot(0).state, SlotState.RESERVED, "state")

    def test_nothing_starts_with_an_epoch_that_nobody_was_given(self) -> None:
        worker = self.worker(1)
        worker.refused(Fenced, replace(worker.started(0), epoch=2))

    @cases("index", {"behind the last": 2, "before the first": -1})
    def test_there_is_no_call_outside_the_batch(self, index: int) -> None:
        worker = self.worker(2)
        before = worker.record()
        worker.refused(BatchMismatch, worker.started(index))
        same(worker.record(), before, "record")
