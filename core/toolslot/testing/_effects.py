"""The contract of effects, first part: who has an effect is decided in the transaction of the start mark."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from toolslot._domain._claim import Claimed
from toolslot._domain._effects import EffectState
from toolslot._domain._slot import SlotState
from toolslot._errors import BatchClosed, Fenced
from toolslot.journal import Append
from toolslot.testing._checks import cases, holds, raises, same
from toolslot.testing._effect_kit import EffectKit, key_of, place
from toolslot.testing._worker import PATIENCE, Worker, do, text

_ENDED: dict[str, Callable[[Worker], object]] = {
    "let go": lambda worker: worker.release(),
    "closed": lambda worker: worker.release(closed=True),
    "taken over": lambda worker: worker.succeed(worker.journal, replace(worker.owner, token="other")),
}


class ClaimContract(EffectKit):
    """Claim, while nobody has had the effect."""

    def test_an_effect_is_claimed_with_the_start_mark(self) -> None:
        worker = self.payer()
        slot = self.begun(worker)
        holds(slot.effect is not None, "the start mark does not say which effect it claimed")
        same(worker.slot(0), slot, "loaded")
        known = self.recorded(self.open())
        same((known.state, known.effect.claims), (EffectState.RUNNING, 1), "state and claims")
        same(known.effect.holder and known.effect.holder.place, place(worker), "holder")
        same(known.effect.idempotency_key, key_of(slot), "idempotency key")

    def test_asking_how_it_stands_claims_nothing(self) -> None:
        worker = self.payer()
        before = worker.record()
        same(do(worker.journal, self.asking(worker)).state, EffectState.FREE, "state")
        same((worker.record(), self.page(worker.journal).effects), (before, ()), "record and effects")

    def test_calls_without_a_key_leave_no_effects(self) -> None:
        worker = self.payer()
        same(worker.run(0).effect, None, "effect of the call")
        same(self.page(worker.journal).effects, (), "effects")

    def test_who_claims_what_a_living_call_has_under_way_sees_that_call_and_starts_nothing(self) -> None:
        first, second = self.payer("first"), self.payer("second")
        held = self.begun(first)
        before = second.record()
        claimed = self.claim(second)
        same((claimed.state, claimed.holder), (EffectState.RUNNING, place(first)), "state and holder")
        same(claimed.held, held, "the holder's slot")
        same(second.record(), before, "record")
        same(self.recorded(second.journal).effect.claims, 1, "claims")

    def test_two_calls_of_one_batch_share_an_effect_like_any_others(self) -> None:
        worker = self.payer(count=2)
        self.begun(worker, 0)
        same(self.claim(worker, 1).holder, place(worker, 0), "holder")

    def test_other_keys_are_other_effects(self) -> None:
        worker = self.payer(count=2)
        slots = [self.begun(worker, n, effect=self.named(worker, key=n)) for n in range(2)]
        same(len({key_of(slot) for slot in slots}), 2, "idempotency keys")

    def test_of_two_claims_in_one_group_commit_one_wins(self) -> None:
        journal = self.open()
        workers = [self.payer(f"run {n}", journal=journal) for n in range(2)]
        pending: list[Future[Claimed]] = [journal.submit(self.claiming(each)) for each in workers]
        claims = [future.result(PATIENCE) for future in pending]
        same([each.slot.state for each in claims], [SlotState.RUNNING, SlotState.RESERVED], "states")
        same(claims[1].holder, place(workers[0]), "holder")

    def test_of_claims_that_race_through_several_openers_exactly_one_wins(self) -> None:
        journals = [self.open(), self.open()]
        workers = [self.payer(f"run {n}", journal=journals[n % 2]) for n in range(8)]
        with ThreadPoolExecutor(len(workers)) as threads:
            claims = list(threads.map(self.claim, workers))
        winners = [n for n, each in enumerate(claims) if each.slot.state is SlotState.RUNNING]
        same(len(winners), 1, "claims that were taken")
        others = {each.holder for n, each in enumerate(claims) if n not in winners}
        same(others, {place(workers[winners[0]])}, "holders that the others saw")

    def test_claiming_again_with_the_same_mark_changes_nothing(self) -> None:
        worker = self.payer()
        claim = self.claiming(worker)
        same(do(worker.journal, claim).slot, do(worker.journal, claim).slot, "slot")
        same(self.recorded(worker.journal).effect.claims, 1, "claims")

    @cases("end", _ENDED)
    def test_who_does_not_have_the_batch_any_more_claims_nothing(
        self, end: Callable[[Worker], object]
    ) -> None:
        worker = self.payer()
        worker.journal.retire(worker.owner)
        end(worker)
        with raises(Fenced, BatchClosed):
            self.claim(worker)
        same(self.page(worker.journal).effects, (), "effects")

    def test_the_scope_of_a_run_has_effects_of_its_own(self) -> None:
        first, second = self.payer("first"), self.payer("second")
        effects = [self.named(each, scoped=True) for each in (first, second)]
        slots = [
            self.begun(each, effect=effect) for each, effect in zip((first, second), effects, strict=True)
        ]
        same(len({key_of(slot) for slot in slots}), 2, "idempotency keys")
        same({each.effect.run_id for each in self.page(first.journal).effects}, {"first", "second"}, "runs")

    def test_a_result_and_a_claim_handed_in_together_are_taken_in_their_order(self) -> None:
        journal = self.open()
        first, second = self.payer("first", journal=journal), self.payer("second", journal=journal)
        journal.submit(self.claiming(first))
        row = first.finished(0, "receipt")
        journal.submit(Append(key=first.key, row=row))
        same(do(journal, self.claiming(second)).slot.outcome, text("receipt"), "outcome")
