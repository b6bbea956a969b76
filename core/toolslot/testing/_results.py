"""The contract of results: recorded once, and what becomes of those that come too late."""

from __future__ import annotations

from collections.abc import Callable

from toolslot._domain._slot import Finished, Reason, SlotRecord, SlotState, Verdict
from toolslot._errors import Fenced
from toolslot.testing._checks import cases, same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import Worker, an_error, do, text

_SETTLE: dict[str, Callable[[Worker], SlotRecord]] = {
    "withdrawn": lambda worker: worker.write(worker.withdrawn(0)),
    "waiting": lambda worker: worker.write(worker.paused(0)),
    "in doubt because it failed": lambda worker: _escape(worker),
    "decided done": lambda worker: _decide(worker, Verdict.DONE),
    "decided failed": lambda worker: _decide(worker, Verdict.FAILED),
    "decided to run again": lambda worker: _decide(worker, Verdict.RERUN),
    "running again": lambda worker: _again(worker),
}


class ResultContract(JournalKit):
    """Results in time."""

    def test_a_result_settles_its_call_for_good(self) -> None:
        worker = self.worker(2)
        worker.start(1)
        row = worker.finished(1, "paid")
        slot = worker.write(row)
        same((slot.state, slot.final, slot.attempt), (SlotState.SUCCEEDED, True, 1), "slot")
        same((slot.outcome, slot.ended_at), (text("paid"), row.at), "outcome")
        same(worker.slot(1), slot, "loaded")
        same(worker.slot(0).state, SlotState.RESERVED, "the other call")

    def test_a_failure_that_reached_the_agent_is_a_result(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        slot = worker.write(worker.finished(0, error=an_error("declined")))
        same((slot.state, slot.final, slot.escaped), (SlotState.FAILED, True, False), "slot")
        same((slot.outcome, slot.error), (None, an_error("declined")), "outcome")

    def test_a_failure_told_as_an_answer_keeps_the_answer(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        slot = worker.write(worker.finished(0, "Error: declined", failed=True))
        same(
            (slot.state, slot.outcome, slot.error), (SlotState.FAILED, text("Error: declined"), None), "slot"
        )

    def test_the_same_result_again_changes_nothing(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        row = worker.finished(0)
        first = worker.write(row)
        same(worker.write(row), first, "slot")
        same(worker.slot(0), first, "loaded")

    def test_a_result_may_be_recorded_after_the_owner_let_go(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        worker.release()
        same(worker.finish(0).state, SlotState.SUCCEEDED, "state")

    def test_case_8_results_come_in_any_order(self) -> None:
        worker = self.worker(5)
        for index in range(5):
            worker.start(index)
        for index in (3, 0, 4, 1, 2):
            worker.finish(index, f"result {index}")
        outcomes = [slot.outcome for slot in worker.record().slots]
        same(outcomes, [text(f"result {index}") for index in range(5)], "outcomes")
        same(worker.record().settled, True, "settled")

    @cases("reason", {reason.value: reason for reason in (Reason.TIMED_OUT, Reason.CANCELLED)})
    def test_case_2_a_late_result_of_the_same_owner_becomes_the_result(self, reason: Reason) -> None:
        worker = self.worker(1)
        worker.doubt(0, reason)
        slot = worker.finish(0, "after all")
        same((slot.state, slot.reason), (SlotState.SUCCEEDED, None), "slot")
        same((slot.outcome, slot.evidence), (text("after all"), ()), "outcome")


class RepetitionContract(JournalKit):
    """Calls that run again although their answer is recorded: in any process, for any owner, and when it is closed."""

    def test_a_repetition_gives_the_answer_from_then_on_and_names_its_process(self) -> None:
        worker = self.worker(2)
        before = worker.run(0, "first")
        after = worker.write(worker.repeated(0, "second", process="p"))
        same((after.state, after.outcome, after.attempt), (before.state, text("second"), 1), "slot")
        same(worker.slot(0).repeated_in, ("p",), "repeated in")
        worker.write(worker.repeated(0, "third", process="q"))
        slot = worker.through(self.reopen(worker.journal)).slot(0)
        same((slot.repeated_in, slot.outcome), (("p", "q"), text("third")), "slot")

    def test_it_needs_no_epoch_and_a_closed_batch_takes_it(self) -> None:
        worker = self.worker(1)
        worker.run(0, "first")
        later = worker.succeed(self.open(), self.owner(worker.journal))
        worker.write(worker.repeated(0, "by the old owner"))
        later.release(closed=True)
        same(worker.write(worker.repeated(0, "when closed")).outcome, text("when closed"), "outcome")

    def test_the_same_repetition_is_written_once(self) -> None:
        worker = self.worker(1)
        worker.run(0)
        row = worker.repeated(0)
        same(worker.write(row).version, worker.write(row).version, "version")

    def test_it_changes_nothing_where_there_is_no_answer(self) -> None:
        worker = self.worker(2)
        worker.start(0)
        for index, attempt in ((0, 1), (1, 0)):
            before = worker.slot(index)
            same(worker.write(worker.repeated(index, attempt=attempt)), before, "slot")


class LateResultContract(JournalKit):
    """Results that cannot count any more: kept as evidence, refused with `Fenced`, and nothing else changes."""

    def _late(self, worker: Worker, row: Finished, before: SlotRecord) -> None:
        """Write it; it must be refused and kept, and change nothing else."""
        index = row.index
        others = [slot for slot in worker.record().slots if slot.index != index]
        worker.refused(Fenced, row)
        after = worker.slot(index)
        same([slot for slot in worker.record().slots if slot.index != index], others, "the other calls")
        same(_settled(after), _settled(before), "slot")
        same(len(after.evidence), len(before.evidence) + 1, "evidence")
        kept = after.evidence[-1]
        same((kept.attempt, kept.epoch, kept.at), (row.attempt, row.epoch, row.at), "evidence is of")
        same((kept.outcome, kept.error, kept.failed), (row.outcome, row.error, row.failed), "evidence says")
        same(after.version, before.version + 1, "version")

    def test_a_second_result_is_only_evidence(self) -> None:
        worker = self.worker(2)
        before = worker.run(0, "first")
        self._late(worker, worker.finished(0, "second"), before)

    def test_the_same_late_result_is_kept_once(self) -> None:
        worker = self.worker(1)
        worker.run(0, "first")
        late = worker.finished(0, "second")
        worker.refused(Fenced, late)
        worker.refused(Fenced, late)
        same(len(worker.slot(0).evidence), 1, "evidence")

    def test_case_24_and_25_a_result_from_before_a_take_over_changes_no_row(self) -> None:
        worker = self.worker(2)
        worker.start(0)
        worker.run(1)
        later = worker.succeed(self.open(), self.owner(worker.journal))
        before = later.slot(0)
        same((before.state, before.reason), (SlotState.UNKNOWN, Reason.OWNER_DIED), "slot")
        self._late(worker, worker.finished(0, "from the dead"), before)

    def test_a_result_from_before_a_take_over_does_not_touch_the_new_owners_attempt(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        before = later.start(0, attempt=2)
        self._late(worker, worker.finished(0, "from the dead"), before)
        same(later.finish(0, "mine", attempt=2).outcome, text("mine"), "outcome")

    def test_the_new_owner_cannot_report_for_an_attempt_that_was_taken_over(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        self._late(later, later.finished(0, "not mine"), later.slot(0))

    @cases("settle", _SETTLE)
    def test_a_result_that_somebody_forestalled_is_only_evidence(
        self, settle: Callable[[Worker], SlotRecord]
    ) -> None:
        worker = self.worker(2)
        worker.start(0)
        before = settle(worker)
        self._late(worker, worker.finished(0, "too late"), before)

    @cases("attempt", {"the first": 1, "a later one": 7})
    def test_a_result_of_an_attempt_that_never_started_is_only_evidence(self, attempt: int) -> None:
        worker = self.worker(2)
        self._late(worker, worker.finished(0, "from nowhere", attempt), worker.slot(0))

    def test_evidence_about_a_later_attempt_does_not_unsettle_the_call(self) -> None:
        worker = self.worker(1, idempotent=True)
        worker.succeed(worker.journal, self.owner(worker.journal)).finish(0)
        self._late(worker, worker.finished(0, "second try of the old owner", attempt=2), worker.slot(0))

    def test_a_result_for_a_closed_batch_is_only_evidence(self) -> None:
        worker = self.worker(2)
        worker.start(0)
        before = worker.write(worker.lost(0))
        worker.release(closed=True)
        self._late(worker, worker.finished(0), before)

    def test_evidence_of_earlier_attempts_is_still_shown(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        worker.start(0, attempt=2)
        late = worker.finished(0, "the first one was done")
        worker.refused(Fenced, late)
        worker.write(worker.lost(0, attempt=2))
        same([row.outcome for row in worker.slot(0).evidence], [late.outcome], "evidence")


def _settled(slot: SlotRecord) -> tuple[object, ...]:
    """Everything of a slot that a late result must not change."""
    return (
        *(slot.spec, slot.generation, slot.state, slot.attempt, slot.epoch, slot.reason, slot.escaped),
        *(slot.queued_at, slot.started_at, slot.ended_at),
        *(slot.outcome, slot.error, slot.decision, slot.delivered),
    )


def _escape(worker: Worker) -> SlotRecord:
    worker.write(worker.finished(0, error=an_error(), escaped=True))
    return worker.write(worker.lost(0, Reason.ESCAPED))


def _decide(worker: Worker, verdict: Verdict) -> SlotRecord:
    worker.write(worker.lost(0))
    return do(worker.journal, worker.decision(0, verdict))


def _again(worker: Worker) -> SlotRecord:
    worker.write(worker.lost(0))
    return worker.start(0, attempt=2)
