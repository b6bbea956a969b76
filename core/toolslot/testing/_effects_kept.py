"""The contract of effects, fourth part: how long it is known that an effect was had, and how it is forgotten."""

from __future__ import annotations

from toolslot._codec import ErrorRecord
from toolslot._domain._claim import ForgetEffect
from toolslot._domain._effects import Effect, EffectState
from toolslot._domain._slot import SlotState
from toolslot._errors import BatchBusy, DecisionRefused, EffectUnsettled
from toolslot.journal import Journal, Purge
from toolslot.testing._checks import holds, raises, same
from toolslot.testing._effect_kit import RERUN, EffectKit, key_of, place
from toolslot.testing._worker import Worker, do, text

SECRET = "account 0815"


class ForgettingContract(EffectKit):
    """ForgetEffect, and effect_ttl."""

    def _forget(self, journal: Journal, *digests: str) -> Effect:
        return do(journal, ForgetEffect(digests=digests, by="ada", why="it came back", at=self.clock()))

    def _paid(self, run: str, *, ttl: float | None = None) -> Worker:
        worker = self.payer(run)
        self.begun(worker, effect=self.named(worker, ttl=ttl))
        worker.finish(0, f"paid in {run}")
        return worker

    def test_a_forgotten_effect_is_had_again_with_another_idempotency_key_each_time(self) -> None:
        keys: list[str] = []
        for run in ("first", "second", "third"):
            worker = self._paid(run)
            keys.append(key_of(worker.slot(0)))
            self._forget(self.open(), self.named(worker).digest)
        same(len(set(keys)), 3, "idempotency keys")
        known = self.recorded(self.open())
        same((known.state, known.effect.holder), (EffectState.FREE, None), "state and holder")
        same([each.why for each in known.effect.forgotten], ["it came back"] * 3, "why it was forgotten")
        same(known.effect.forgotten[0].by, "ada", "who had it forgotten")

    def test_who_got_the_result_keeps_it(self) -> None:
        first, second = self._paid("first"), self.payer("second")
        slot = self.claim(second).slot
        self._forget(second.journal, self.named(first).digest)
        same(second.slot(0), slot, "slot")

    def test_a_result_that_comes_after_it_was_forgotten_is_evidence(self) -> None:
        worker = self.payer()
        self.begun(worker)
        worker.journal.retire(worker.owner)
        self._forget(worker.journal, self.named(worker).digest)
        with raises(Exception):
            worker.finish(0, "late")
        same(len(worker.slot(0).evidence), 1, "evidence")

    def test_what_a_living_call_has_under_way_is_not_forgotten(self) -> None:
        worker = self.payer()
        self.begun(worker)
        with raises(BatchBusy):
            self._forget(worker.journal, self.named(worker).digest)
        same(self.recorded(worker.journal).state, EffectState.RUNNING, "state")

    def test_forgetting_what_is_forgotten_changes_nothing(self) -> None:
        digest = self.named(self._paid("first")).digest
        journal = self.open()
        same(self._forget(journal, digest), self._forget(journal, "no such", digest), "effect")

    def test_an_effect_that_the_journal_does_not_have_is_not_forgotten(self) -> None:
        with raises(DecisionRefused):
            self._forget(self.open(), "no such")

    def test_until_its_time_is_over_it_is_not_had_again(self) -> None:
        first, second = self._paid("first", ttl=1000.0), self.payer("second")
        same(self.claim(second, effect=self.named(second, ttl=1000.0)).slot.holder, place(first), "holder")

    def test_when_its_time_is_over_it_is_had_again_with_another_idempotency_key(self) -> None:
        first, second = self._paid("first", ttl=1000.0), self.payer("second")
        self.clock.advance(1001.0)
        slot = self.begun(second, effect=self.named(second, ttl=1000.0))
        holds(key_of(slot) != key_of(first.slot(0)), "a bank would take the second payment for the first")
        same(len(self.recorded(second.journal).effect.forgotten), 1, "times forgotten")


class KeepingContract(EffectKit):
    """Purge and effects."""

    def _drop(self, journal: Journal, run: str = "first") -> None:
        do(journal, Purge(run_id=run, at=self.clock(), why="too old"))

    def _purged(self, *, ttl: float | None = None) -> Worker:
        """One whose run was purged after it had its effect."""
        worker = self.payer("first")
        self.begun(worker, effect=self.named(worker, ttl=ttl))
        worker.finish(0, "receipt 17")
        if ttl is not None:
            self.clock.advance(ttl + 1.0)
        self._drop(worker.journal)
        return worker

    def test_what_was_done_is_known_after_a_purge_and_its_result_is_not(self) -> None:
        first = self._purged()
        second = self.payer("second", journal=self.reopen(first.journal))
        slot = self.claim(second).slot
        same((slot.state, slot.outcome, slot.holder), (SlotState.SUCCEEDED, None, place(first)), "slot")

    def test_after_a_purge_other_arguments_are_still_refused(self) -> None:
        self._purged()
        second = self.payer("second")
        same(self.claim(second, effect=self.named(second, amount=120)).slot.refused, True, "refused")

    def test_a_purged_effect_can_be_forgotten(self) -> None:
        first, second = self._purged(), self.payer("second")
        do(
            second.journal,
            ForgetEffect(digests=(self.named(first).digest,), by="ada", why="", at=self.clock()),
        )
        self.begun(second)

    def test_a_run_with_an_effect_under_way_is_not_purged(self) -> None:
        worker = self.payer("first")
        self.begun(worker)
        before = worker.record()
        with raises(EffectUnsettled):
            self._drop(worker.journal)
        same(worker.record(), before, "record")

    def test_a_run_with_an_effect_of_unknown_outcome_is_not_purged(self) -> None:
        worker = self.payer("first")
        self.begun(worker)
        worker.journal.retire(worker.owner)
        with raises(EffectUnsettled):
            self._drop(worker.journal)

    def test_a_run_that_only_followed_is_purged_as_ever(self) -> None:
        first = self.payer("first")
        self.begun(first)
        first.finish(0, "receipt 17")
        self.claim(self.payer("second"))
        self._drop(first.journal, "second")
        same(self.claim(self.payer("third")).slot.outcome, text("receipt 17"), "outcome")

    def test_of_an_effect_whose_time_was_over_nothing_readable_stays(self) -> None:
        effect = self.recorded(self._purged(ttl=1000.0).journal).effect
        same((effect.key, effect.holder, effect.purged), ("", None, None), "key, holder and record")

    def test_an_effect_whose_time_was_over_when_it_was_purged_has_another_idempotency_key(self) -> None:
        worker = self.payer("first")
        effect = self.named(worker, ttl=1000.0)
        key = key_of(self.begun(worker, effect=effect))
        worker.finish(0)
        self.clock.advance(1001.0)
        self._drop(worker.journal)
        holds(key_of(self.begun(self.payer("second"))) != key, "the same idempotency key")

    def test_of_a_failure_a_purge_keeps_its_type_alone(self) -> None:
        worker = self.payer("first")
        self.begun(worker)
        error = ErrorRecord(
            type_name="bank.Down", message=SECRET, args=(SECRET,), traceback=SECRET, bases=("b.B",)
        )
        worker.write(worker.finished(0, error=error))
        self._drop(worker.journal)
        known = self.recorded(self.open())
        kept = known.effect.purged and known.effect.purged.error
        same(known.state, EffectState.FAILED, "state")
        same(kept, ErrorRecord(type_name="bank.Down", message="", bases=("b.B",)), "error")

    def test_a_failure_that_was_purged_frees_it_by_policy_only(self) -> None:
        worker = self.payer("first")
        self.begun(worker)
        worker.write(worker.finished(0, failed=True))
        self._drop(worker.journal)
        same(self.claim(self.payer("second")).slot.refused, True, "refused")
        same(self.claim(self.payer("third"), policy=RERUN).slot.state, SlotState.RUNNING, "state")


class EffectListContract(EffectKit):
    """effects()."""

    def test_a_journal_without_effects_lists_none(self) -> None:
        page = self.page(self.open())
        same((page.effects, page.cursor), ((), None), "page")

    def test_every_one_of_many_effects_is_listed_once(self) -> None:
        worker = self.payer(count=120)
        for index in range(120):
            self.begun(worker, index, effect=self.named(worker, key=index))
        journal, found, cursor = self.open(), list[str](), None
        while True:
            page = self.page(journal, cursor)
            found += [known.effect.key for known in page.effects]
            if page.cursor is None:
                break
            cursor = page.cursor
        same(sorted(found), sorted(f"[{index}]" for index in range(120)), "keys")

    def test_an_effect_says_whose_it_is_and_how_it_stands(self) -> None:
        worker = self.payer(count=2)
        self.begun(worker, 0, effect=self.named(worker, key=0))
        self.begun(worker, 1, effect=self.named(worker, key=1))
        worker.finish(1)
        known = {each.effect.key: each for each in self.page(self.reopen(self.open())).effects}
        same([known[key].state for key in ("[0]", "[1]")], [EffectState.RUNNING, EffectState.DONE], "states")
        same({each.effect.name for each in known.values()}, {"pay"}, "names")
