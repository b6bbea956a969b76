"""What the contract of effects has in common: calls that name effects, and claim them."""

from __future__ import annotations

from dataclasses import replace

from toolslot._domain._claim import Claim, Claimed
from toolslot._domain._effect_names import NamedEffect, name_effect
from toolslot._domain._effects import EffectPage, EffectState, KnownEffect
from toolslot._domain._policy import ToolPolicy
from toolslot._domain._slot import SlotPlace, SlotRecord, SlotState
from toolslot.journal import Journal
from toolslot.testing._checks import same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import PATIENCE, Worker, do

#: what nobody can know stops the call
ASK = ToolPolicy(effect_key="invoice")
RERUN = ToolPolicy(effect_key="invoice", on_unknown="rerun")


class EffectKit(JournalKit):
    """Calls that name effects."""

    def payer(self, run: str = "run", *, journal: Journal | None = None, count: int = 1) -> Worker:
        """The living owner of a batch."""
        worker = self.worker(count, run=run, journal=journal)
        worker.journal.enlist(worker.owner)
        return worker

    def named(
        self,
        worker: Worker,
        *,
        key: int = 4711,
        amount: int = 100,
        scoped: bool = False,
        ttl: float | None = None,
    ) -> NamedEffect:
        """What a call of the worker's run that pays this invoice does in the world."""
        effect = name_effect(
            "invoice",
            "pay",
            {"invoice": key, "amount": amount},
            run_id=worker.key.run_id if scoped else None,
            ttl=ttl,
            digest_key=worker.journal.digest_key,
        )
        if not isinstance(effect, NamedEffect):
            raise AssertionError(f"the effect has no name: {effect.why}")
        return effect

    def asking(
        self,
        worker: Worker,
        index: int = 0,
        *,
        effect: NamedEffect | None = None,
        policy: ToolPolicy = ASK,
        anyway: tuple[SlotPlace, int] | None = None,
    ) -> Claim:
        """The verb that says how the effect stands, and claims nothing."""
        return Claim(
            key=worker.key,
            index=index,
            epoch=worker.epoch,
            effect=effect if effect is not None else self.named(worker),
            policy=policy,
            at=self.clock(),
            anyway=anyway,
        )

    def claiming(
        self,
        worker: Worker,
        index: int = 0,
        *,
        attempt: int = 1,
        effect: NamedEffect | None = None,
        policy: ToolPolicy = ASK,
        anyway: tuple[SlotPlace, int] | None = None,
    ) -> Claim:
        """The verb that claims it with a start mark."""
        asking = self.asking(worker, index, effect=effect, policy=policy, anyway=anyway)
        return replace(asking, mark=worker.started(index, attempt))

    def claim(
        self,
        worker: Worker,
        index: int = 0,
        *,
        attempt: int = 1,
        effect: NamedEffect | None = None,
        policy: ToolPolicy = ASK,
        anyway: tuple[SlotPlace, int] | None = None,
    ) -> Claimed:
        claiming = self.claiming(worker, index, attempt=attempt, effect=effect, policy=policy, anyway=anyway)
        return do(worker.journal, claiming)

    def begun(self, worker: Worker, index: int = 0, *, effect: NamedEffect | None = None) -> SlotRecord:
        """The worker's call as it is when it has claimed its effect; the claim must go through."""
        claimed = self.claim(worker, index, effect=effect)
        same((claimed.state, claimed.holder), (EffectState.FREE, None), "how the effect stood")
        same(claimed.slot.state, SlotState.RUNNING, "state of the call")
        return claimed.slot

    def page(self, journal: Journal, cursor: str | None = None) -> EffectPage:
        return journal.effects(cursor).result(PATIENCE)

    def recorded(self, journal: Journal) -> KnownEffect:
        """The only effect of the journal."""
        page = self.page(journal)
        same((len(page.effects), page.cursor), (1, None), "effects, and where to go on")
        return page.effects[0]


def place(worker: Worker, index: int = 0) -> SlotPlace:
    return SlotPlace(worker.key, index, 1)


def key_of(slot: SlotRecord) -> str:
    """The idempotency key of a call that has claimed an effect or was spared for one."""
    if slot.effect is None:
        raise AssertionError("the call names no effect")
    return slot.effect.idempotency_key
