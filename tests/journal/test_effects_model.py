"""Calls of many runs, in several processes, claim a few effects and do whatever calls do; a reference says what must come of each claim.

What holds whatever happens: an effect that is recorded as done is never entered again unless somebody had it forgotten, and no two calls
of living owners have one effect under way.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from typing_extensions import override

from support.apart import open_apart
from support.batches import CLOCK, manifest, owner_of
from support.nightly import search
from toolslot._codec import Payload
from toolslot._domain._claim import Claim, Claimed, ForgetEffect
from toolslot._domain._effect_names import NamedEffect, name_effect
from toolslot._domain._effects import EffectState as E
from toolslot._domain._identity import Owner
from toolslot._domain._policy import ToolPolicy
from toolslot._domain._slot import Reason, SlotPlace, Verdict
from toolslot._domain._slot import SlotState as S
from toolslot._errors import BatchBusy, DecisionRefused, Fenced
from toolslot.journal import Journal, MemoryJournal, MemoryStore, Reserve
from toolslot.testing._worker import Worker, do, text

PROCESSES, KEYS = 2, 2
POLICIES = {
    "ask": ToolPolicy(effect_key="invoice"),
    "rerun": ToolPolicy(effect_key="invoice", on_unknown="rerun"),
}
picks = st.integers(0, 1000)


@dataclass
class RefCall:
    """Where one call stands. `lost`: its owner gave it up and may still get its result."""

    worker: Worker
    process: int
    key: int
    amount: int
    state: S = S.RESERVED
    attempt: int = 0
    lost: bool = False
    decided: bool = False
    alive: bool = True

    @property
    def open(self) -> bool:
        """Whether it may still be entered."""
        return self.alive and self.state in (S.RESERVED, S.WAITING, S.UNKNOWN)

    def standing(self) -> E:
        """What it says of the effect that it holds."""
        match self.state:
            case S.RESERVED:
                return E.FREE
            case S.WAITING:
                return E.WAITING
            case S.SUCCEEDED:
                return E.DONE
            case S.FAILED:
                return E.FREE if self.decided else E.FAILED
            case S.RUNNING:
                return E.RUNNING if self.alive else E.UNKNOWN
            case S.UNKNOWN:
                return E.RUNNING if self.lost and self.alive else E.UNKNOWN


class Effects(RuleBasedStateMachine):
    """The rules. What the journal lies in, subclasses say."""

    def open(self) -> Journal:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.journals = [self.open() for _ in range(PROCESSES)]
        self.calls: list[RefCall] = []
        self.holders: dict[int, RefCall | None] = {}
        #: what is on record for each effect, until it is forgotten; and the idempotency keys that were seen, by how often it was
        self.done: dict[int, Payload] = {}
        self.seen: dict[tuple[int, int], str] = {}
        self.forgotten = dict.fromkeys(range(KEYS), 0)

    @override
    def teardown(self) -> None:
        assert len(set(self.seen.values())) == len(self.seen), "another idempotency key each time"
        for journal in self.journals:
            journal.close()

    def time(self) -> float:
        self.now += 1.0
        return self.now

    def pick(self, number: int, *states: S) -> RefCall | None:
        """One of the living calls that are in such a state."""
        found = [call for call in self.calls if call.alive and call.state in states]
        return found[number % len(found)] if found else None

    @initialize()
    def begin(self) -> None:
        """Some have been asked for already, so that there is something to contend for."""
        for number in range(6):
            self.ask(number % PROCESSES, number // 2 % KEYS, 1)

    # --- the calls ----------------------------------------------------------------------------------------------------

    @rule(
        process=st.integers(0, PROCESSES - 1),
        key=st.integers(0, KEYS - 1),
        amount=st.sampled_from([1] * 9 + [2]),
    )
    def ask(self, process: int, key: int, amount: int) -> None:
        """The model asks for the effect, in a run of its own."""
        journal, made = self.journals[process], manifest(1, run=f"run {len(self.calls)}")
        owner = self.owner(journal)
        record = do(journal, Reserve(manifest=made, owner=owner, at=self.time())).record
        worker = Worker(journal=journal, key=made.key, owner=owner, epoch=record.fence.epoch, clock=CLOCK)
        self.calls.append(RefCall(worker, process, key, amount))

    def owner(self, journal: Journal) -> Owner:
        """A new one, at work."""
        owner = owner_of(journal, f"owner {self.time():.0f}")
        journal.enlist(owner)
        return owner

    @precondition(lambda self: any(call.open for call in self.calls))
    @rule(number=picks, policy=st.sampled_from(["ask", "ask", "ask", "rerun"]), anyway=st.booleans())
    def claim(self, number: int, policy: str, anyway: bool) -> None:
        found = [call for call in self.calls if call.open]
        call = found[number % len(found)]
        holder = self.holders.get(call.key)
        if call.lost and holder is not call:
            return  # its thread still runs, so it is not entered again
        mark = call.worker.started(0, call.attempt + 1)
        looked = None
        if anyway and holder is not None and holder is not call:
            looked = (self.place(holder), holder.worker.slot(0).version)
        claimed = do(
            call.worker.journal,
            Claim(
                key=call.worker.key,
                index=0,
                epoch=call.worker.epoch,
                effect=self.named(call),
                policy=POLICIES[policy],
                at=self.time(),
                mark=mark,
                anyway=looked,
            ),
        )
        self.came(call, holder, claimed, doubt_is_enough=policy == "rerun" or looked is not None)

    def came(self, call: RefCall, holder: RefCall | None, claimed: Claimed, *, doubt_is_enough: bool) -> None:
        """What must have come of it."""
        standing = E.FREE if holder is None or holder is call else holder.standing()
        doubtful = standing in (E.UNKNOWN, E.FAILED)
        if standing in (E.FREE, E.WAITING) or (doubtful and doubt_is_enough):
            assert claimed.slot.state is S.RUNNING
            self.entered(call, claimed)
        elif holder is not None and call.amount != self.compared(holder):
            assert claimed.slot.refused
            call.state = S.FAILED
        elif standing is E.DONE:
            assert claimed.slot.outcome == self.done[call.key]
            assert holder is not None
            assert claimed.slot.holder == self.place(holder)
            call.state = S.SUCCEEDED
        else:
            assert holder is not None
            assert (claimed.state, claimed.holder) == (standing, self.place(holder))

    def entered(self, call: RefCall, claimed: Claimed) -> None:
        assert call.key not in self.done, "it is on record as done"
        others = [it for it in self.calls if it is not call and it.key == call.key and it.alive]
        assert not any(it.state is S.RUNNING or it.lost for it in others if self.holders.get(it.key) is it)
        effect = claimed.slot.effect
        assert effect is not None
        assert self.seen.setdefault((call.key, self.forgotten[call.key]), effect.idempotency_key) == (
            effect.idempotency_key
        )
        call.state, call.attempt = S.RUNNING, call.attempt + 1
        call.lost = call.decided = False
        self.holders[call.key] = call

    @precondition(lambda self: any(call.state is S.RUNNING or call.lost for call in self.calls))
    @rule(number=picks)
    def finish(self, number: int) -> None:
        """A result comes, perhaps late, and perhaps of an owner that the others took for dead."""
        found = [it for it in self.calls if it.state is S.RUNNING or it.lost]
        call = found[number % len(found)]
        value = f"result {self.time():.0f}"
        if self.holders.get(call.key) is not call:
            with pytest.raises(Fenced):
                call.worker.finish(0, value, call.attempt)
            assert call.worker.slot(0).state is call.state
            return
        assert call.worker.finish(0, value, call.attempt).state is S.SUCCEEDED
        call.state, call.lost = S.SUCCEEDED, False
        self.done[call.key] = text(value)

    @precondition(lambda self: any(call.alive and call.state is S.RUNNING for call in self.calls))
    @rule(number=picks, how=st.sampled_from(["fail", "withdraw", "pause", "lose"]))
    def stop(self, number: int, how: str) -> None:
        call = self.pick(number, S.RUNNING)
        if call is None or self.holders.get(call.key) is not call:
            return
        worker, attempt = call.worker, call.attempt
        match how:
            case "fail":
                worker.write(worker.finished(0, failed=True, attempt=attempt))
                call.state = S.FAILED
            case "withdraw":
                worker.write(worker.withdrawn(0, attempt))
                call.state = S.RESERVED
            case "pause":
                worker.write(worker.paused(0, attempt))
                call.state = S.WAITING
            case _:
                worker.write(worker.lost(0, Reason.TIMED_OUT, attempt))
                call.state, call.lost = S.UNKNOWN, True

    # --- from outside -------------------------------------------------------------------------------------------------

    @rule(process=st.integers(0, PROCESSES - 1))
    def die(self, process: int) -> None:
        self.journals[process].close()
        self.journals[process] = self.open()
        for call in self.calls:
            if call.process == process:
                call.alive = False
                call.worker = call.worker.through(self.journals[process])

    @precondition(lambda self: not all(call.alive for call in self.calls))
    @rule(number=picks)
    def resume(self, number: int) -> None:
        """Another owner takes up the batch of one that died."""
        found = [call for call in self.calls if not call.alive]
        call = found[number % len(found)]
        journal = self.journals[call.process]
        call.worker = call.worker.succeed(journal, self.owner(journal))
        call.alive, call.lost = True, False
        if call.state is S.RUNNING:
            call.state = S.UNKNOWN

    @precondition(lambda self: any(self.holders.values()))
    @rule(number=picks, verdict=st.sampled_from(Verdict))
    def decide(self, number: int, verdict: Verdict) -> None:
        """Somebody settles a call, or tries to."""
        held = [call for call in self.holders.values() if call is not None]
        call = held[number % len(held)]
        decision = call.worker.decision(0, verdict)
        if call.state is not S.UNKNOWN and call.standing() not in (E.UNKNOWN, E.FAILED):
            with pytest.raises(DecisionRefused):
                do(self.journals[0], decision)
            return
        state = do(self.journals[0], decision).state
        call.state, call.lost, call.decided = state, False, True
        if verdict is Verdict.DONE:
            self.done[call.key] = text("as decided")

    @precondition(lambda self: self.done)
    @rule(key=st.integers(0, KEYS - 1))
    def forget(self, key: int) -> None:
        holder = self.holders.get(key)
        effect = name_effect("invoice", "pay", {"invoice": key})
        assert isinstance(effect, NamedEffect)
        operation = ForgetEffect(digests=(effect.digest,), by="ada", why="", at=self.time())
        if holder is None or holder.standing() is E.RUNNING:
            with suppress(DecisionRefused, BatchBusy):
                told = do(self.journals[0], operation)
                assert holder is None
                assert len(told.forgotten) == self.forgotten[key]
            return
        assert do(self.journals[0], operation).holder is None
        self.holders[key] = None
        self.done.pop(key, None)
        self.forgotten[key] += 1

    # --- names --------------------------------------------------------------------------------------------------------

    def named(self, call: RefCall) -> NamedEffect:
        effect = name_effect("invoice", "pay", {"invoice": call.key, "amount": call.amount})
        assert isinstance(effect, NamedEffect)
        return effect

    def place(self, call: RefCall) -> SlotPlace:
        return SlotPlace(call.worker.key, 0, 1)

    def compared(self, holder: RefCall) -> int:
        return holder.amount


class EffectsOfMemory(Effects):
    def __init__(self) -> None:
        self.store = MemoryStore()
        super().__init__()

    @override
    def open(self) -> Journal:
        return MemoryJournal(self.store)


class EffectsOnDisk(Effects):
    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        super().__init__()

    @override
    def open(self) -> Journal:
        return open_apart(Path(self.folder.name) / "journal")

    @override
    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestEffectsOfMemory = EffectsOfMemory.TestCase
TestEffectsOfMemory.settings = search(300)
TestEffectsOnDisk = EffectsOnDisk.TestCase
TestEffectsOnDisk.settings = search(8, steps=25)
