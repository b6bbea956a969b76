"""The contract of attempts that end without a result, and of those that leave no start mark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from toolslot._domain._slot import Decided, Evidence, Reason, Row, SlotState, Verdict
from toolslot._errors import Fenced, InvalidSetting
from toolslot.testing._checks import cases, same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import Worker, text

_ENDS: dict[str, Callable[[Worker, int], Row]] = {
    "withdrawn": lambda worker, index: worker.withdrawn(index),
    "paused": lambda worker, index: worker.paused(index),
    "lost": lambda worker, index: worker.lost(index),
    "delivered": lambda worker, index: worker.delivered(index),
}
_LOSSES = {reason.value: reason for reason in Reason}


class EndingContract(JournalKit):
    """Attempts that end without a result."""

    def test_a_withdrawn_call_is_reserved_and_starts_as_the_next_attempt(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        slot = worker.write(worker.withdrawn(0))
        same((slot.state, slot.attempt), (SlotState.RESERVED, 1), "slot")
        same(worker.start(0, attempt=2).state, SlotState.RUNNING, "state")

    def test_a_call_in_doubt_can_be_withdrawn(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        slot = worker.write(worker.withdrawn(0))
        same((slot.state, slot.reason), (SlotState.RESERVED, None), "slot")

    def test_an_interrupted_call_waits_and_is_entered_again_as_the_next_attempt(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        same(worker.write(worker.paused(0)).state, SlotState.WAITING, "state")
        slot = worker.start(0, attempt=2)
        same((slot.state, slot.attempt), (SlotState.RUNNING, 2), "slot")

    def test_a_waiting_call_that_was_entered_again_and_died_is_unknown(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        worker.write(worker.paused(0))
        worker.start(0, attempt=2)
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        slot = later.slot(0)
        same((slot.state, slot.reason, slot.attempt), (SlotState.UNKNOWN, Reason.OWNER_DIED, 2), "slot")

    @cases("reason", _LOSSES)
    def test_a_lost_call_is_unknown_and_says_why(self, reason: Reason) -> None:
        worker = self.worker(1)
        slot = worker.doubt(0, reason)
        same((slot.state, slot.reason, slot.final), (SlotState.UNKNOWN, reason, False), "slot")
        same(worker.slot(0), slot, "loaded")

    def test_a_failure_that_escaped_can_become_doubt_and_keeps_its_error(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        failed = worker.write(replace(worker.finished(0, failed=True, escaped=True), outcome=text("timeout")))
        slot = worker.write(worker.lost(0, Reason.ESCAPED))
        same((slot.state, slot.reason, slot.escaped), (SlotState.UNKNOWN, Reason.ESCAPED, False), "slot")
        same((slot.outcome, slot.error), (failed.outcome, failed.error), "outcome")
        slot = worker.decide(0, Verdict.DONE)
        same((slot.state, slot.outcome), (SlotState.SUCCEEDED, text("as decided")), "decided")

    def test_a_failure_in_doubt_that_is_decided_failed_is_settled(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        worker.write(worker.finished(0, failed=True, escaped=True))
        worker.write(worker.lost(0, Reason.ESCAPED))
        slot = worker.decide(0, Verdict.FAILED)
        same((slot.state, slot.escaped, slot.final), (SlotState.FAILED, False, True), "slot")

    @cases("what", {what: what for what in _ENDS})
    def test_what_is_settled_stays_as_it_is(self, what: str) -> None:
        worker = self.worker(3)
        worker.run(0)
        worker.start(1)
        worker.write(worker.finished(1, failed=True))
        before = worker.record()
        for index in range(3):
            worker.write(_ENDS[what](worker, index))
        same(worker.record(), before, "record")

    @cases("what", {what: what for what in _ENDS if what != "paused"})
    def test_a_waiting_call_goes_on_waiting(self, what: str) -> None:
        worker = self.worker(1)
        worker.start(0)
        before = worker.write(worker.paused(0))
        worker.write(_ENDS[what](worker, 0))
        same(worker.slot(0), before, "slot")

    @cases("what", {what: what for what in _ENDS})
    def test_nothing_ends_with_an_old_epoch(self, what: str) -> None:
        worker = self.worker(1)
        worker.start(0)
        worker.succeed(worker.journal, self.owner(worker.journal))
        before = worker.record()
        worker.refused(Fenced, _ENDS[what](worker, 0))
        same(worker.record(), before, "record")

    def test_what_the_agent_was_told_of_an_unknown_call_is_kept_once(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        told = worker.delivered(0)
        slot = worker.write(told)
        same((slot.state, slot.delivered), (SlotState.UNKNOWN, told), "slot")
        same(worker.write(worker.delivered(0, "something else")), slot, "told again")

    def test_what_the_agent_was_told_outlasts_closing_and_a_decision(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        told = worker.delivered(0)
        worker.write(told)
        worker.release(closed=True)
        slot = worker.decide(0, Verdict.DONE)
        same((slot.state, slot.delivered), (SlotState.SUCCEEDED, told), "slot")

    def test_rows_that_have_a_verb_of_their_own_are_not_appended(self) -> None:
        worker = self.worker(1)
        before = worker.doubt(0)
        at = self.clock()
        worker.refused(
            InvalidSetting, Evidence(index=0, generation=1, attempt=1, epoch=1, at=at, outcome=text("forged"))
        )
        worker.refused(
            InvalidSetting,
            Decided(
                index=0,
                generation=1,
                attempt=1,
                epoch=1,
                at=at,
                verdict=Verdict.DONE,
                by="nobody",
                why="",
                decision_id="",
                version=before.version,
            ),
        )
        same(worker.slot(0), before, "slot")


class IdempotentContract(JournalKit):
    """Calls that leave no start mark."""

    def test_a_result_needs_no_start_mark(self) -> None:
        worker = self.worker(1, idempotent=True)
        row = worker.finished(0)
        slot = worker.write(row)
        same((slot.state, slot.attempt), (SlotState.SUCCEEDED, 1), "slot")
        same((slot.queued_at, slot.started_at), (row.queued_at, row.started_at), "times")

    def test_a_pause_needs_no_start_mark(self) -> None:
        worker = self.worker(1, idempotent=True)
        slot = worker.write(worker.paused(0))
        same((slot.state, slot.attempt), (SlotState.WAITING, 1), "slot")

    def test_a_timeout_needs_no_start_mark_and_the_next_attempt_counts(self) -> None:
        worker = self.worker(1, idempotent=True)
        slot = worker.write(worker.lost(0))
        same((slot.state, slot.attempt), (SlotState.UNKNOWN, 1), "slot")
        slot = worker.finish(0, "second time", attempt=2)
        same((slot.state, slot.outcome), (SlotState.SUCCEEDED, text("second time")), "slot")

    def test_an_attempt_after_unrecorded_ones_counts(self) -> None:
        worker = self.worker(1, idempotent=True)
        same(worker.finish(0, attempt=3).state, SlotState.SUCCEEDED, "state")

    def test_a_later_attempt_does_not_touch_a_recorded_result(self) -> None:
        worker = self.worker(1, idempotent=True)
        before = worker.finish(0, "first")
        worker.refused(Fenced, worker.finished(0, "second", attempt=2))
        after = worker.slot(0)
        same((after.state, after.attempt, after.outcome), (before.state, 1, before.outcome), "slot")
