"""The contract of decisions: on an unknown slot, on the version that was looked at, once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from toolslot._domain._slot import Reason, SlotRecord, SlotState, Verdict
from toolslot._errors import BatchClosed, BatchMismatch, DecisionRefused, Fenced
from toolslot.journal import Decide
from toolslot.testing._checks import cases, raises, same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import PATIENCE, Worker, an_error, do, text

_STATES: dict[str, Callable[[Worker], SlotRecord]] = {
    "reserved": lambda worker: worker.slot(0),
    "running": lambda worker: worker.start(0),
    "waiting": lambda worker: _pause(worker),
    "succeeded": lambda worker: worker.run(0),
    "failed": lambda worker: _fail(worker),
}


class DecisionContract(JournalKit):
    """Decide."""

    def _refused(self, worker: Worker, decision: Decide, *errors: type[Exception]) -> None:
        before = worker.record()
        with raises(*errors):
            do(worker.journal, decision)
        same(worker.record(), before, "record")

    def test_a_call_decided_done_has_succeeded_with_the_given_result(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        slot = worker.decide(0, Verdict.DONE)
        same((slot.state, slot.final, slot.reason), (SlotState.SUCCEEDED, True, None), "slot")
        same(slot.outcome, text("as decided"), "outcome")
        same(worker.slot(0), slot, "loaded")

    def test_a_call_decided_failed_has_failed_for_good(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        slot = worker.decide(0, Verdict.FAILED)
        same((slot.state, slot.final, slot.escaped), (SlotState.FAILED, True, False), "slot")
        same(slot.error, an_error(), "error")

    def test_a_call_decided_to_run_again_is_reserved_and_runs_as_the_next_attempt(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        slot = worker.decide(0, Verdict.RERUN)
        same((slot.state, slot.attempt, slot.final), (SlotState.RESERVED, 1, False), "slot")
        worker.refused(Fenced, worker.started(0, attempt=1))
        same(worker.run(0, "again", attempt=2).outcome, text("again"), "outcome")

    def test_a_decision_keeps_who_why_when_and_on_what(self) -> None:
        worker = self.worker(1)
        version = worker.doubt(0).version
        decision = worker.decision(0, Verdict.DONE)
        kept = do(worker.journal, decision).decision
        if kept is None:
            raise AssertionError("the slot does not show its decision")
        same((kept.by, kept.why, kept.at), (decision.by, decision.why, decision.at), "who, why, when")
        same((kept.decision_id, kept.version), (decision.decision_id, version), "id and version")

    def test_case_30_a_decision_on_an_old_version_is_refused(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        stale = worker.decision(0, Verdict.DONE)
        worker.start(0, attempt=2)
        worker.write(worker.lost(0, attempt=2))
        self._refused(worker, stale, DecisionRefused)

    def test_evidence_that_came_meanwhile_makes_a_decision_stale(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        stale = later.decision(0, Verdict.RERUN)
        worker.refused(Fenced, worker.finished(0, "it was done"))
        self._refused(later, stale, DecisionRefused)

    def test_a_decision_on_a_version_that_does_not_exist_yet_is_refused(self) -> None:
        worker = self.worker(1)
        version = worker.doubt(0).version
        self._refused(worker, worker.decision(0, Verdict.DONE, version=version + 1), DecisionRefused)

    @cases("verdict", {verdict.value: verdict for verdict in Verdict})
    def test_case_30_a_second_decision_is_refused(self, verdict: Verdict) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        same_version = worker.decision(0, Verdict.DONE)
        worker.decide(0, verdict)
        self._refused(worker, same_version, DecisionRefused)
        self._refused(worker, worker.decision(0, Verdict.DONE), DecisionRefused)

    def test_the_very_same_decision_again_changes_nothing(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        decision = worker.decision(0, Verdict.DONE)
        first = do(worker.journal, decision)
        same(do(worker.journal, decision), first, "slot")
        same(worker.slot(0), first, "loaded")

    def test_of_racing_decisions_exactly_one_is_taken(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        decisions = [worker.decision(0, verdict) for verdict in Verdict for _ in range(4)]
        with ThreadPoolExecutor(len(decisions)) as threads:
            racing = list(threads.map(worker.journal.submit, decisions))
        taken = [future.result() for future in racing if future.exception(PATIENCE) is None]
        same(len(taken), 1, "decisions taken")
        same(worker.slot(0), taken[0], "slot")

    @cases("reach", _STATES)
    def test_only_an_unknown_call_is_decided(self, reach: Callable[[Worker], SlotRecord]) -> None:
        worker = self.worker(1)
        reach(worker)
        self._refused(worker, worker.decision(0, Verdict.DONE), DecisionRefused)

    def test_there_is_nothing_to_decide_outside_the_batch(self) -> None:
        worker = self.worker(1)
        self._refused(worker, worker.decision(1, Verdict.DONE, version=0), BatchMismatch, DecisionRefused)

    def test_an_owners_decision_is_fenced_like_its_other_writes(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        worker.succeed(worker.journal, self.owner(worker.journal))
        self._refused(worker, worker.decision(0, Verdict.DONE, epoch=worker.epoch), Fenced)

    def test_an_operators_decision_counts_whoever_owns_the_batch(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        decision = replace(worker.decision(0, Verdict.DONE), epoch=None)
        worker.succeed(worker.journal, self.owner(worker.journal))
        same(do(self.open(), decision).state, SlotState.SUCCEEDED, "state")

    def test_nothing_of_a_closed_batch_is_decided_to_run_again(self) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        worker.release(closed=True)
        self._refused(worker, worker.decision(0, Verdict.RERUN), BatchClosed)

    @cases("verdict", {"done": Verdict.DONE, "failed": Verdict.FAILED})
    def test_a_call_of_a_closed_batch_can_be_settled(self, verdict: Verdict) -> None:
        worker = self.worker(1)
        worker.doubt(0, Reason.CANCELLED)
        worker.release(closed=True)
        same(worker.decide(0, verdict).final, True, "final")


def _pause(worker: Worker) -> SlotRecord:
    worker.start(0)
    return worker.write(worker.paused(0))


def _fail(worker: Worker) -> SlotRecord:
    worker.start(0)
    return worker.write(worker.finished(0, failed=True, escaped=True))
