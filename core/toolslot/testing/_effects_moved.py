"""The contract of effects, third part: who decides about a call that holds an effect, and how another call takes it."""

from __future__ import annotations

from dataclasses import replace

from toolslot._domain._effects import EffectState
from toolslot._domain._slot import Reason, SlotState, Verdict
from toolslot._errors import BatchClosed, DecisionRefused, Fenced
from toolslot.journal import Append
from toolslot.testing._checks import cases, raises, same
from toolslot.testing._effect_kit import EffectKit, place
from toolslot.testing._worker import Worker, an_error, do, text


class MovedEffectContract(EffectKit):
    """Deciding about a holder from outside, and taking its effect."""

    def _left(self, *, closed: bool = False) -> tuple[Worker, Worker]:
        """A call whose owner died, and one that wants its effect. The first goes on through another opener, as one that was stopped."""
        first, second = self.payer("first"), self.payer("second")
        self.begun(first)
        if closed:
            first.write(first.lost(0, Reason.CANCELLED))
            first.release(closed=True)
        first.journal.retire(first.owner)
        return first, second

    @cases("closed", {"in an open batch": False, "in a closed batch": True})
    def test_decided_done_it_is_done_for_others_and_the_batch_stays_whose_it_is(self, closed: bool) -> None:
        first, second = self._left(closed=closed)
        fence = first.record().fence
        do(second.journal, first.decision(0, Verdict.DONE))
        same(first.record().fence, fence, "fence")
        same(self.claim(second).slot.outcome, text("as decided"), "outcome")

    @cases("closed", {"in an open batch": False, "in a closed batch": True})
    def test_decided_failed_it_is_free(self, closed: bool) -> None:
        first, second = self._left(closed=closed)
        same(do(second.journal, first.decision(0, Verdict.FAILED)).state, SlotState.FAILED, "state")
        self.begun(second)

    @cases("closed", {"in an open batch": False, "in a closed batch": True})
    def test_decided_to_run_again_it_is_free(self, closed: bool) -> None:
        first, second = self._left(closed=closed)
        do(second.journal, first.decision(0, Verdict.RERUN))
        self.begun(second)
        with raises(BatchClosed) if closed else raises(AssertionError):
            self.begun(first)

    def test_a_failure_that_nobody_is_sure_of_can_be_decided(self) -> None:
        first, second = self.payer("first"), self.payer("second")
        self.begun(first)
        first.write(first.finished(0, error=an_error()))
        do(second.journal, first.decision(0, Verdict.DONE))
        same(self.claim(second).slot.outcome, text("as decided"), "outcome")

    def test_what_a_living_call_has_under_way_is_not_decided(self) -> None:
        first = self.payer("first")
        self.begun(first)
        with raises(DecisionRefused):
            do(first.journal, first.decision(0, Verdict.DONE))

    def test_anyway_moves_the_claim_and_a_late_result_of_the_old_holder_is_evidence(self) -> None:
        first, second = self._left()
        version = first.slot(0).version
        slot = self.claim(second, anyway=(place(first), version)).slot
        same(slot.state, SlotState.RUNNING, "state of the follower")
        known = self.recorded(second.journal).effect
        same((known.claims, known.holder and known.holder.place), (2, place(second)), "claims and holder")
        with raises(Fenced):
            first.finish(0, "late")
        held = first.slot(0)
        same((held.state is SlotState.SUCCEEDED, len(held.evidence)), (False, 1), "the old holder")
        same(second.finish(0, "receipt").state, SlotState.SUCCEEDED, "the new holder")

    def test_anyway_holds_for_the_version_that_was_looked_at(self) -> None:
        first, second = self._left()
        version = first.slot(0).version
        do(first.journal, Append(key=first.key, row=first.lost(0, Reason.CANCELLED)))
        claimed = self.claim(second, anyway=(place(first), version))
        same((claimed.state, claimed.slot.state), (EffectState.UNKNOWN, SlotState.RESERVED), "state")

    def test_a_result_that_came_before_the_claim_moved_is_the_result(self) -> None:
        first, second = self._left()
        version = first.slot(0).version
        first.finish(0, "in time")
        slot = self.claim(second, anyway=(place(first), version)).slot
        same((slot.state, slot.outcome), (SlotState.SUCCEEDED, text("in time")), "slot")

    def test_nobody_decides_for_a_call_that_was_spared(self) -> None:
        first, second = self._left()
        first.finish(0, "receipt")
        version = self.claim(second).slot.version
        with raises(DecisionRefused):
            do(second.journal, replace(second.decision(0, Verdict.DONE), version=version))
