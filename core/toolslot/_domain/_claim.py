"""The verbs of effects: claiming one for a call, and forgetting one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from typing_extensions import assert_never

from toolslot._codec import encode_error
from toolslot._domain._append import may_spare, may_start, write
from toolslot._domain._effect_names import EffectMark, NamedEffect, effect_idempotency_key
from toolslot._domain._effect_standing import Standing, standing_of
from toolslot._domain._effects import (
    LONGEST_KEY,
    Effect,
    EffectState,
    Holder,
    damaged,
    is_damaged,
)
from toolslot._domain._operations import check_epoch, existing, slot_at
from toolslot._domain._plan import reruns, retries_failure
from toolslot._domain._policy import ToolPolicy
from toolslot._domain._slot import (
    BatchKey,
    Deduplicated,
    Refused,
    SlotPlace,
    SlotRecord,
    SlotState,
    Started,
)
from toolslot._domain._state import BatchState, Change, JournalView, PutEffect
from toolslot._errors import (
    BatchBusy,
    DecisionRefused,
    EffectConflict,
    EffectRefused,
    JournalCorrupt,
    ToolslotError,
)
from toolslot._text import shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """What came of a claim. `slot` is the call's own, as it is now: with an answer, or, if a start mark was given and `state` is FREE,
    running. Else somebody else holds the effect: `state`, and `holder` with its slot say how that one stands.
    """

    slot: SlotRecord
    state: EffectState = EffectState.FREE
    holder: SlotPlace | None = None
    held: SlotRecord | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Claim the effect that a call names, with its start mark; or learn how it stands, where there is no `mark`.

    Where the effect is on record as done, the call gets its result in the same commit; where it cannot be had for other arguments, that
    is the call's answer. `anyway`: the holder's place and version, of whom nobody could tell anything, and the policy says to run again.

    Raises:
        Fenced, BatchClosed: the batch is not its owner's any more.
        JournalCorrupt: the holder's record is missing.
    """

    key: BatchKey
    index: int
    epoch: int
    effect: NamedEffect
    policy: ToolPolicy
    at: float
    mark: Started | None = None
    anyway: tuple[SlotPlace, int] | None = None

    def change(self, view: JournalView) -> Change[Claimed]:
        state = view.state(self.key) or existing(view, self.key)
        slot = slot_at(state, self.index)
        if slot.final:
            return Change((), Claimed(slot=slot))
        check_epoch(state, self.epoch)
        known = view.effect(self.effect.digest)
        if known is None and self.effect.unkeyed is not None:
            known = view.effect(self.effect.unkeyed[0])
        here = SlotPlace(state.key, self.index, slot.generation)
        if known is None or known.holder is None or known.holder.place == here:
            return self._take(view, state, slot, known)
        holder = known.holder.place
        found = standing_of(view, known, self.at)
        if self._is_free(known, found):
            expired = found.state is EffectState.FREE and _was_had(known, found)
            if expired and self.mark is not None:
                known = known.forget(at=self.at, by="toolslot", why="its effect_ttl is over")
            return self._take(view, state, slot, known)
        may_spare(state, slot)
        if not self._same_arguments(known):
            return self._refuse(state, slot, EffectConflict(self._conflict(known, found.state)))
        if found.state is EffectState.DONE:
            return self._deduplicate(state, slot, known, found)
        if found.slot is None:
            return self._refuse(state, slot, EffectRefused(self._purged_failure(known)))
        return Change((), Claimed(slot=slot, state=found.state, holder=holder, held=found.slot))

    def _is_free(self, known: Effect, found: Standing) -> bool:
        match found.state:
            case EffectState.FREE | EffectState.WAITING:
                return True
            case EffectState.RUNNING | EffectState.DONE:
                return False
            case EffectState.FAILED:
                told = known.purged if found.slot is None else found.slot
                error = None if told is None else told.error
                return retries_failure(self.policy, error) or self._anyway(known, found)
            case EffectState.UNKNOWN:
                return reruns(self.policy) or self._anyway(known, found)
            case _:
                assert_never(found.state)

    def _anyway(self, known: Effect, found: Standing) -> bool:
        assert known.holder is not None, "only what is held is not free"
        return found.slot is not None and self.anyway == (known.holder.place, found.slot.version)

    def _same_arguments(self, known: Effect) -> bool:
        presented = {self.effect.compared}
        if self.effect.unkeyed is not None:
            presented.add(self.effect.unkeyed[1])
        return known.compared is not None and known.compared in presented

    def _take(
        self, view: JournalView, state: BatchState, slot: SlotRecord, known: Effect | None
    ) -> Change[Claimed]:
        mark, effect = self.mark, self.effect
        if mark is None:
            return Change((), Claimed(slot=slot))
        forgotten = known.forgotten if known is not None else ()
        digest = known.digest if known is not None else effect.digest
        if known is not None and known.holder is not None:
            idempotency_key = known.idempotency_key
        else:
            idempotency_key = effect_idempotency_key(view.journal_id, digest, len(forgotten))
        taken = Effect(
            digest=digest,
            name=effect.name,
            key=effect.key[:LONGEST_KEY],
            run_id=effect.run_id,
            idempotency_key=idempotency_key,
            holder=Holder(place=SlotPlace(state.key, self.index, mark.generation), attempt=mark.attempt),
            claims=1 + (known.claims if known is not None else 0),
            compared=effect.compared,
            at=self.at,
            ttl=effect.ttl,
            forgotten=forgotten,
        )
        begun = replace(mark, effect=EffectMark(taken.digest, taken.idempotency_key))
        # Dies here: the claim and the start mark are durable both, or neither is.
        if not may_start(state, slot, begun):
            return Change((), Claimed(slot=slot))
        change = write(state, begun)
        return Change((PutEffect(effect=taken, before=known), *change.writes), Claimed(slot=change.result))

    def _deduplicate(
        self, state: BatchState, slot: SlotRecord, known: Effect, found: Standing
    ) -> Change[Claimed]:
        assert known.holder is not None, "what is done is held"
        held, outcome = found.slot, None
        if held is not None and found.batch is not None:
            same_run = found.batch.key.run_id == state.key.run_id
            same = same_run and found.batch.manifest.adapter == state.manifest.adapter
            outcome = held.outcome if same else held.content or held.outcome
        row = Deduplicated(
            index=self.index,
            generation=slot.generation,
            attempt=slot.attempt,
            epoch=self.epoch,
            at=self.at,
            holder=known.holder.place,
            effect=EffectMark(known.digest, known.idempotency_key),
            outcome=outcome,
        )
        return _answered(write(state, row))

    def _refuse(self, state: BatchState, slot: SlotRecord, error: ToolslotError) -> Change[Claimed]:
        row = Refused(
            index=self.index,
            generation=slot.generation,
            attempt=slot.attempt,
            epoch=self.epoch,
            at=self.at,
            error=encode_error(error),
        )
        return _answered(write(state, row))

    def _conflict(self, known: Effect, state: EffectState) -> str:
        assert known.holder is not None, "a conflict is with one that holds it"
        return (
            f"call {self.index} ({shown(self.effect.name)}) of batch {self.key} was not run: {known.holder.place} has the same effect key"
            f" with other arguments, and is {_SAID[state]}. A key stands for one effect: repeat the arguments of that call to get its"
            " result, or use the key of another effect."
        )

    def _purged_failure(self, known: Effect) -> str:
        return (
            f"call {self.index} ({shown(self.effect.name)}) of batch {self.key} was not run: a call with the same effect key has failed,"
            f" perhaps after it had its effect, and its record is purged ({known.holder and known.holder.place}). Whoever knows that it"
            " had none may run `toolslot forget-effect`."
        )


_SAID = {
    EffectState.RUNNING: "under way",
    EffectState.DONE: "done",
    EffectState.UNKNOWN: "of unknown outcome",
    EffectState.FAILED: "of unknown outcome",
}


def _was_had(known: Effect, found: Standing) -> bool:
    state = found.slot.state if found.slot is not None else known.purged and known.purged.state
    return state is SlotState.SUCCEEDED


def _answered(change: Change[SlotRecord]) -> Change[Claimed]:
    return Change(change.writes, Claimed(slot=change.result))


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgetEffect:
    """Have an effect run again when it is asked for the next time, under a new idempotency key; with who said so, when and why.

    `digests`: those under which it may be recorded. The result is its record; of one that is forgotten already, nothing is changed.

    Raises:
        DecisionRefused: the journal has no such effect.
        BatchBusy: a call that may be alive is at it.
    """

    digests: tuple[str, ...]
    by: str
    why: str
    at: float

    def change(self, view: JournalView) -> Change[Effect]:
        known = self._known(view)
        if known is None:
            raise DecisionRefused(
                "the journal has no such effect. `toolslot effects` lists those that it has."
            )
        if is_damaged(known):
            return self._forget(known)
        if known.holder is None:
            return Change((), known)
        try:
            state = standing_of(view, known, self.at).state
        except JournalCorrupt:
            state = EffectState.UNKNOWN  # nobody will ever know; this is what ends it
        if state is EffectState.RUNNING:
            raise BatchBusy(
                f"{known.holder.place} has this effect under way, and its owner is or may be alive. Let it come to its end first."
            )
        return self._forget(known)

    def _known(self, view: JournalView) -> Effect | None:
        lost: Effect | None = None
        for digest in self.digests:
            try:
                known = view.effect(digest)
            except JournalCorrupt:
                lost = damaged(digest)  # nobody will ever know whether it was had; this is what ends it
                continue
            if known is not None:
                return known
        return lost

    def _forget(self, known: Effect) -> Change[Effect]:
        told = known.forget(at=self.at, by=self.by, why=self.why)
        return Change((PutEffect(effect=told, before=known),), told)
