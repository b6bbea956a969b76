"""The contract of effects, second part: what became of the call that holds an effect says what others get."""

from __future__ import annotations

from collections.abc import Callable

from toolslot._codec import ErrorRecord
from toolslot._domain._effects import EffectState
from toolslot._domain._policy import ToolPolicy
from toolslot._domain._slot import Reason, SlotRecord, SlotState
from toolslot._errors import Fenced
from toolslot.testing._checks import cases, holds, same
from toolslot.testing._effect_kit import RERUN, EffectKit, key_of, place
from toolslot.testing._worker import Worker, do, text

#: a failure that certainly did nothing
CERTAIN = ErrorRecord(
    type_name="builtins.ConnectionRefusedError", message="no route", bases=("builtins.OSError",)
)
NOT_DONE = ToolPolicy(effect_key="invoice", not_done=ConnectionRefusedError)

_FREED: dict[str, Callable[[Worker], object]] = {
    "withdrawn": lambda worker: worker.write(worker.withdrawn(0)),
    "stopped at a question": lambda worker: worker.write(worker.paused(0)),
}


def _fail(worker: Worker, *, escaped: bool = False) -> SlotRecord:
    return worker.write(worker.finished(0, error=CERTAIN, escaped=escaped))


class DoneEffectContract(EffectKit):
    """Claim of an effect that is on record as done."""

    def _done(self, run: str = "first") -> tuple[Worker, SlotRecord]:
        worker = self.payer(run)
        self.begun(worker)
        return worker, worker.finish(0, "receipt 17")

    def test_a_later_call_gets_the_result_in_the_same_commit_and_is_not_entered(self) -> None:
        first, done = self._done()
        second = self.payer("second")
        slot = self.claim(second).slot
        same((slot.state, slot.attempt, slot.final), (SlotState.SUCCEEDED, 0, True), "slot")
        same((slot.outcome, slot.holder), (text("receipt 17"), place(first)), "outcome and whose it is")
        same(slot.effect, done.effect, "effect and idempotency key")
        same(second.slot(0), slot, "loaded")

    def test_whoever_only_asks_gets_it_too(self) -> None:
        first, _ = self._done()
        same(do(first.journal, self.asking(self.payer("second"))).slot.holder, place(first), "holder")

    def test_it_is_known_to_journals_that_are_opened_anew(self) -> None:
        first, _ = self._done()
        second = self.payer("second", journal=self.reopen(first.journal))
        same(self.claim(second).slot.outcome, text("receipt 17"), "outcome")

    def test_a_follower_can_be_followed(self) -> None:
        first, _ = self._done()
        for run in ("second", "third"):
            same(self.claim(self.payer(run)).slot.holder, place(first), f"whose result {run} has")
        same(self.recorded(first.journal).effect.claims, 1, "claims")

    def test_it_is_done_after_its_batch_was_closed(self) -> None:
        first, _ = self._done()
        first.release(closed=True)
        same(self.claim(self.payer("second")).slot.outcome, text("receipt 17"), "outcome")

    def test_a_call_that_got_a_result_is_never_started(self) -> None:
        self._done()
        second = self.payer("second")
        self.claim(second)
        before = second.record()
        second.refused(Fenced, second.started(0))
        same(second.record(), before, "record")

    def test_other_arguments_are_refused_and_the_call_has_that_for_an_answer(self) -> None:
        first, _ = self._done()
        second = self.payer("second")
        slot = self.claim(second, effect=self.named(second, amount=120)).slot
        same((slot.state, slot.attempt, slot.final), (SlotState.FAILED, 0, True), "slot")
        same((slot.refused, slot.holder), (True, None), "refused, and nobody's result")
        if slot.error is None:
            raise AssertionError("the call has no error")
        same(slot.error.type_name.rpartition(".")[2], "EffectConflict", "error")
        for words in (str(place(first)), str(second.key)):
            holds(words in slot.error.message, f"the error does not name {words}: {slot.error.message}")
        same(second.slot(0), slot, "loaded")

    def test_other_arguments_are_refused_while_it_is_under_way(self) -> None:
        self.begun(self.payer("first"))
        second = self.payer("second")
        same(self.claim(second, effect=self.named(second, amount=120)).slot.refused, True, "refused")


class HeldEffectContract(EffectKit):
    """Claim of an effect whose holder did not come to a result."""

    @cases("free", _FREED)
    def test_a_holder_that_certainly_did_nothing_yet_frees_it(self, free: Callable[[Worker], object]) -> None:
        first, second = self.payer("first"), self.payer("second")
        key = key_of(self.begun(first))
        free(first)
        slot = self.begun(second)
        same(key_of(slot), key, "idempotency key")
        same(self.claim(first, attempt=2).holder, place(second), "whom the first sees when it goes on")

    def test_a_failure_frees_it_only_if_its_type_did_nothing_for_certain(self) -> None:
        first, second = self.payer("first"), self.payer("second")
        self.begun(first)
        _fail(first)
        claimed = self.claim(second)
        same((claimed.state, claimed.holder), (EffectState.FAILED, place(first)), "state and holder")
        same(self.claim(second, policy=NOT_DONE).slot.state, SlotState.RUNNING, "state of the call")

    def test_a_failure_frees_it_for_tools_that_may_be_rerun(self) -> None:
        first, second = self.payer("first"), self.payer("second")
        self.begun(first)
        _fail(first)
        same(self.claim(second, policy=RERUN).slot.state, SlotState.RUNNING, "state of the call")

    def test_a_failure_that_escaped_a_living_owner_may_be_repeated_by_it_and_is_under_way(self) -> None:
        first, second = self.payer("first"), self.payer("second")
        self.begun(first)
        _fail(first, escaped=True)
        same(self.claim(second).state, EffectState.RUNNING, "while the owner lives")
        first.journal.retire(first.owner)
        same(self.claim(second).state, EffectState.FAILED, "when it is gone")

    @cases("reason", {"timed out": Reason.TIMED_OUT, "cancelled": Reason.CANCELLED})
    def test_a_call_that_its_living_owner_lost_is_under_way_until_the_batch_is_closed(
        self, reason: Reason
    ) -> None:
        first, second = self.payer("first"), self.payer("second")
        self.begun(first)
        first.write(first.lost(0, reason))
        same(self.claim(second).state, EffectState.RUNNING, "while the owner lives")
        first.release(closed=True)
        same(self.claim(second).state, EffectState.UNKNOWN, "in the closed batch")

    def test_what_a_dead_owner_left_running_is_unknown(self) -> None:
        first, second = self.payer("first"), self.payer("second")
        held = self.begun(first)
        self.die(first.journal)
        claimed = self.claim(second)
        same((claimed.state, claimed.holder), (EffectState.UNKNOWN, place(first)), "state and holder")
        same(
            (claimed.held, claimed.slot.state),
            (held, SlotState.RESERVED),
            "the holder's slot, and the own one",
        )

    def test_what_is_unknown_runs_again_by_policy(self) -> None:
        first, second = self.payer("first"), self.payer("second")
        key = key_of(self.begun(first))
        self.die(first.journal)
        slot = self.claim(second, policy=RERUN).slot
        same((slot.state, key_of(slot)), (SlotState.RUNNING, key), "state and idempotency key")
        same(self.recorded(second.journal).effect.claims, 2, "claims")
