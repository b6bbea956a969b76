"""Several owners and an operator do whatever they like with one batch; a reference model says what must come of it.

The owners share a journal through openers of their own, as processes do. Each goes on with the last epoch it was given, whether or not
that is still the batch's. `support/reference.py` holds what the promises say; it knows nothing of rows and how they are read.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from support.apart import open_apart
from support.batches import database
from support.examining import examined
from support.nightly import search
from support.reference import IGNORED, Answer, RefBatch, RefSlot
from toolslot._codec import Payload
from toolslot._domain._identity import Owner
from toolslot._domain._slot import (
    BatchKey,
    BatchRecord,
    Delivered,
    Finished,
    Lost,
    Manifest,
    Paused,
    Reason,
    Regenerated,
    SlotSpec,
    Started,
    Verdict,
    Withdrawn,
)
from toolslot._domain._slot import SlotState as S
from toolslot._errors import RunPurged
from toolslot.journal import (
    Adopt,
    Append,
    Decide,
    DiskJournal,
    Journal,
    MemoryJournal,
    MemoryStore,
    Operation,
    OwnerState,
    Purge,
    Release,
    Reserve,
    TakeOver,
)
from toolslot.testing._worker import state_of

CALLS = 3
OWNERS = 3
ARGS = Payload(codec="j", data=b"{}")
#: the last call is declared idempotent: it leaves no start mark
SPECS = tuple(
    SlotSpec(index=i, tool="pay", call_id="", digest="0" * 64, args=ARGS, idempotent=i == CALLS - 1)
    for i in range(CALLS)
)

#: mostly whoever was last given an epoch, sometimes another
owners = st.sampled_from(["holder"] * 8 + ["next", "next but one"])
indexes = st.integers(0, CALLS - 1)
#: a call that something can be said about: mostly one that is in such a state, if there is one
idle = st.sampled_from(["idle"] * 5 + ["first", "last"])
busy = st.sampled_from(["running"] * 5 + ["in doubt", "first", "last"])
doubtful = st.sampled_from(["in doubt"] * 5 + ["running", "first", "last"])
reasons = st.sampled_from([Reason.ESCAPED, Reason.ESCAPED, *Reason])
#: which attempt a row is about, seen from the slot's newest; and which generation
offsets = st.sampled_from([0] * 8 + [1, -1])
ages = st.sampled_from([0] * 9 + [-1])
_STATES = {
    "idle": (S.RESERVED, S.WAITING, S.UNKNOWN),
    "running": (S.RUNNING,),
    "in doubt": (S.UNKNOWN, S.FAILED),
}


class _About(TypedDict):
    index: int
    generation: int
    attempt: int
    epoch: int
    at: float


class Owners(RuleBasedStateMachine):
    """The rules. What the journal lies in, subclasses say."""

    def open(self) -> Journal:
        raise NotImplementedError

    def stored(self) -> dict[str, bytes]:
        """Write-once rows as they lie in the storage; none where there is nothing to look into."""
        return {}

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.runs = 0
        self.dead: list[Owner] = []
        self.journals = [self.open() for _ in range(OWNERS)]
        self.owners = [self.enlisted(journal) for journal in self.journals]

    @initialize()
    def reserve(self) -> None:
        self.runs += 1
        self.key = BatchKey(f"run {self.runs}", "batch")
        self.names = [self.key]
        self.batches = [self.key]
        self.finals: dict[tuple[int, int], tuple[object, ...]] = {}
        self.written: list[Operation[Any]] = []
        self.rows: dict[str, bytes] = {}
        self.epochs = [1] + [0] * (OWNERS - 1)
        self.model = RefBatch(slots=[RefSlot(idempotent=spec.idempotent) for spec in SPECS])
        reservation = self.journals[0].submit(self.reserving(self.key, 0)).result()
        assert reservation.fresh

    def teardown(self) -> None:
        assert self.rows.items() <= self.stored().items()
        for journal in self.journals:
            journal.close()

    # --- the owners -----------------------------------------------------------------------------------------

    @rule(owner=owners, call=idle, offset=st.sampled_from([1] * 8 + [0, 2]), age=ages)
    def start(self, owner: str, call: str, offset: int, age: int) -> None:
        index = self.index(call)
        about = self.about(owner, index, offset, age)
        answer = self.model.start(about["epoch"], index, about["attempt"], about["generation"])
        self.append(owner, Started(**about, queued_at=self.now), answer)

    @rule(
        owner=owners,
        call=busy,
        offset=offsets,
        age=ages,
        how=st.sampled_from(["done", "failed", "escaped"]),
    )
    def finish(self, owner: str, call: str, offset: int, age: int, how: str) -> None:
        index = self.index(call)
        about = self.about(owner, index, offset, age)
        data = f"result {self.now}".encode()
        failed, escaped = how != "done", how == "escaped"
        row = Finished(**about, outcome=Payload(codec="s", data=data), failed=failed, escaped=escaped)
        answer = self.model.finish(
            about["epoch"], index, about["attempt"], about["generation"], data, failed=failed, escaped=escaped
        )
        self.append(owner, row, answer, repeatable=offset <= 0)

    @rule(owner=owners, call=busy, offset=offsets, age=ages, reason=reasons)
    def lose(self, owner: str, call: str, offset: int, age: int, reason: Reason) -> None:
        index = self.index(call)
        about = self.about(owner, index, offset, age)
        answer = self.model.lose(about["epoch"], index, about["attempt"], about["generation"], reason)
        self.append(owner, Lost(**about, reason=reason), answer)

    @rule(owner=owners, call=busy, offset=offsets, age=ages)
    def withdraw(self, owner: str, call: str, offset: int, age: int) -> None:
        index = self.index(call)
        about = self.about(owner, index, offset, age)
        answer = self.model.withdraw(about["epoch"], index, about["attempt"], about["generation"])
        self.append(owner, Withdrawn(**about, why=""), answer)

    @rule(owner=owners, call=busy, offset=offsets, age=ages)
    def pause(self, owner: str, call: str, offset: int, age: int) -> None:
        index = self.index(call)
        about = self.about(owner, index, offset, age)
        answer = self.model.pause(about["epoch"], index, about["attempt"], about["generation"])
        self.append(owner, Paused(**about), answer)

    @rule(owner=owners, call=doubtful, offset=offsets, age=ages)
    def deliver(self, owner: str, call: str, offset: int, age: int) -> None:
        index = self.index(call)
        about = self.about(owner, index, offset, age)
        data = f"told {self.now}".encode()
        answer = self.model.deliver(about["epoch"], index, about["attempt"], about["generation"], data)
        self.append(owner, Delivered(**about, outcome=Payload(codec="s", data=data)), answer)

    # --- the operator, and a reconciler -------------------------------------------------------------------------

    @rule(
        call=doubtful,
        verdict=st.sampled_from(Verdict),
        behind=st.sampled_from([0, 0, 0, 1]),
        by=st.sampled_from(["operator", "holder", "next"]),
    )
    def decide(self, call: str, verdict: Verdict, behind: int, by: str) -> None:
        index = self.index(call)
        epoch = None if by == "operator" else self.epochs[self.number(by)]
        version = self.model.slots[index].rows - behind
        data = f"decided {self.now}".encode()
        operation = Decide(
            key=self.key,
            index=index,
            verdict=verdict,
            by=by,
            why="",
            decision_id=str(self.now),
            version=version,
            at=self.tick(),
            outcome=None if verdict is Verdict.RERUN else Payload(codec="s", data=data),
            epoch=epoch,
        )
        self.do("next", operation, self.model.decide(index, verdict, version, data, epoch))

    # --- what may happen to anybody -----------------------------------------------------------------------------

    @rule(
        owner=st.sampled_from(["holder", "next", "next but one"]),
        what=st.sampled_from(
            [
                "take over",
                "take over",
                "let go",
                "close",
                "fork",
                "die",
                "regenerate",
                "reserve again",
                "purge",
            ]
        ),
        adopt=st.sampled_from(Adopt),
        force=st.booleans(),
        index=indexes,
        off=st.sampled_from([0] * 5 + [1]),
    )
    def turn(self, owner: str, what: str, adopt: Adopt, force: bool, index: int, off: int) -> None:
        """What happens to the batch as a whole. In one rule, or the owners would get little done in between."""
        match what:
            case "take over":
                self.take_over(owner, off, force)
            case "let go" | "close":
                epoch, closed = self.epochs[self.number(owner)], what == "close"
                release = Release(key=self.key, epoch=epoch, closed=closed)
                self.do(owner, release, self.model.release(epoch, closed=closed))
            case "fork":
                self.fork(owner, adopt)
            case "die":
                self.die(owner)
            case "regenerate":
                self.regenerate(owner, index, 1 - off)
            case "reserve again":
                before = self.load()
                found = self.do(owner, self.reserving(self.key, self.number(owner)), IGNORED)
                assert (found.fresh, found.record) == (False, before)
            case _:
                self.purge(owner)

    @rule(owner=owners, which=st.integers(0, 99))
    def say_again(self, owner: str, which: int) -> None:
        """A write whose acknowledgement was lost is repeated: it changes nothing more, whatever it is told."""
        if self.written:
            before = self.load()
            self.journals[self.number(owner)].submit(self.written[which % len(self.written)]).exception()
            assert self.load() == before

    def take_over(self, owner: str, behind: int, force: bool) -> None:
        number, expected = self.number(owner), self.model.epoch - behind
        operation = TakeOver(
            key=self.key,
            owner=self.owners[number],
            expected_epoch=expected,
            at=self.tick(),
            why="",
            force=force,
        )
        answer = self.model.take_over(number, expected, force=force)
        record = self.do(owner, operation, answer)
        if answer is not IGNORED:
            self.epochs[number] = self.model.epoch
        assert record == self.load()

    def regenerate(self, owner: str, index: int, ahead: int) -> None:
        about = self.about(owner, index, 0, ahead)
        about["attempt"] = 0
        answer = self.model.regenerate(about["epoch"], index, about["generation"])
        self.append(owner, Regenerated(**about, spec=SPECS[index]), answer)

    def fork(self, owner: str, adopt: Adopt) -> None:
        key = BatchKey(self.key.run_id, f"fork {self.now}")
        first = self.batches[-1]
        adopts = adopt is Adopt.ALWAYS or (
            adopt is Adopt.UNFINISHED and not (first == self.key and self.model.closed)
        )
        found = self.do(owner, self.reserving(key, self.number(owner), adopt), None)
        assert (found.adopted, found.fresh, found.key) == (adopts, not adopts, first if adopts else key)
        if not adopts:
            self.batches.append(key)
        elif first == self.key:
            self.names.append(key)

    def die(self, owner: str) -> None:
        """And another process start takes its place. It is told the same of the batch."""
        number = self.number(owner)
        before, keys = self.load(), self.journals[number].keys(self.key.run_id).result()
        assert keys == tuple(self.batches)
        self.journals[number].close()
        self.dead.append(self.owners[number])
        self.journals[number] = self.open()
        self.owners[number] = self.enlisted(self.journals[number])
        self.epochs[number] = 0
        if number == self.model.holder:
            self.model.lives = False
            before = replace(before, owner_state=OwnerState.DEAD)
        assert self.journals[number].keys(self.key.run_id).result() == keys
        for name in self.names:
            assert self.journals[number].load(name).result() == before
        stored = self.stored()
        assert self.rows.items() <= stored.items(), "a row that was written once is never written again"
        self.rows = stored

    def purge(self, owner: str) -> None:
        """Nothing of the run is left, and it never looks new. Then another run begins."""
        journal = self.journals[self.number(owner)]
        journal.submit(Purge(run_id=self.key.run_id, at=self.tick(), why="")).result()
        for operation in (self.reserving(self.key, 0), *self.written[-3:]):
            assert type(journal.submit(operation).exception()) is RunPurged
        for each in self.journals:
            assert [each.load(name).result() for name in self.names] == [None] * len(self.names)
            assert each.keys(self.key.run_id).result() == ()
        self.reserve()

    # --- what must always hold ------------------------------------------------------------------------------

    @invariant()
    def every_slot_stands_where_the_model_says(self) -> None:
        record = self.load()
        for slot, expected in zip(record.slots, self.model.slots, strict=True):
            assert (slot.state, slot.attempt) == (expected.state, expected.attempt)
            assert (slot.generation, slot.version) == (expected.generation, expected.rows)
            assert (slot.reason, slot.escaped) == (expected.reason, expected.escaped)
            assert (slot.outcome.data if slot.outcome else None) == expected.outcome
            assert [row.outcome.data for row in slot.evidence if row.outcome] == expected.late
            told = slot.delivered.outcome if slot.delivered else None
            assert (told.data if told else None) == expected.told
        fence, model = record.fence, self.model
        assert (fence.epoch, fence.held, fence.closed) == (model.epoch, model.held, model.closed)
        assert [tenure.epoch for tenure in record.tenures] == list(range(1, model.epoch + 1))
        assert record.tenures[-1].owner == fence.owner
        assert record.owner_state is (OwnerState.ALIVE if model.lives else OwnerState.DEAD)

    @invariant()
    def what_is_final_stays_as_it_is(self) -> None:
        for slot in self.load().slots:
            said = (slot.state, slot.attempt, slot.outcome, slot.error, slot.decision, slot.ended_at)
            place = (slot.index, slot.generation)
            if slot.final:
                assert self.finals.setdefault(place, said) == said
            else:
                assert place not in self.finals

    @invariant()
    def it_is_known_who_lives(self) -> None:
        onlooker = self.journals[int(self.now) % OWNERS]
        assert {state_of(onlooker, owner) for owner in self.owners} == {OwnerState.ALIVE}
        assert {state_of(onlooker, owner) for owner in self.dead[-3:]} <= {OwnerState.DEAD}

    # --- helpers --------------------------------------------------------------------------------------------

    def number(self, owner: str) -> int:
        return (self.model.holder + {"holder": 0, "next": 1}.get(owner, 2)) % OWNERS

    def index(self, call: str) -> int:
        """The call that is meant; the holder brings one into that state when there is none, or little would ever be."""
        found = self.standing(_STATES.get(call, ()))
        if (
            not found
            and self.model.held
            and not self.model.closed
            and (ready := self.standing(_STATES["idle"]))
        ):
            if call in ("running", "in doubt"):
                self.start("holder", "idle", 1, 0)
                found = ready[:1]
            if call == "in doubt":
                reason = Reason.CANCELLED if ready[0] else Reason.TIMED_OUT
                self.lose("holder", "running", 0, 0, reason)
        return found[0] if found else (CALLS - 1 if call == "last" else 0)

    def standing(self, states: Sequence[S]) -> list[int]:
        return [
            index for index, slot in enumerate(self.model.slots) if slot.state in states and not slot.final
        ]

    def tick(self) -> float:
        self.now += 1.0
        return self.now

    def enlisted(self, journal: Journal) -> Owner:
        owner = Owner(process=journal.process, token=f"owner {self.tick()}")
        journal.enlist(owner)
        return owner

    def reserving(self, key: BatchKey, number: int, adopt: Adopt = Adopt.UNFINISHED) -> Reserve:
        manifest = Manifest(key=key, specs=SPECS, created=self.tick(), lineage="response")
        return Reserve(manifest=manifest, owner=self.owners[number], at=self.now, adopt=adopt)

    def about(self, owner: str, index: int, offset: int, age: int) -> _About:
        slot = self.model.slots[index]
        return _About(
            index=index,
            generation=slot.generation + age,
            attempt=slot.attempt + offset,
            epoch=self.epochs[self.number(owner)],
            at=self.tick(),
        )

    def append(self, owner: str, row: Any, answer: Answer, *, repeatable: bool = True) -> None:
        # Under any of the batch's names.
        operation = Append(key=self.names[int(self.now) % len(self.names)], row=row)
        self.do(owner, operation, answer)
        if repeatable and isinstance(row, Finished) and answer is not None:
            self.written.append(operation)  # it is kept as evidence

    def do(self, owner: str, operation: Operation[Any], answer: Answer) -> Any:
        future = self.journals[self.number(owner)].submit(operation)
        if isinstance(answer, type):
            assert type(future.exception()) is answer
            return None
        if answer is None:
            self.written.append(operation)
        return future.result()

    def load(self) -> BatchRecord:
        """Through one opener after the other: all must tell the same."""
        self.tick()
        record = self.journals[int(self.now) % OWNERS].load(self.key).result()
        assert record is not None
        return record


class OwnersInMemory(Owners):
    def __init__(self) -> None:
        self.store = MemoryStore()
        super().__init__()

    @override
    def open(self) -> Journal:
        return MemoryJournal(self.store)


class OwnersOnDisk(Owners):
    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "journal"
        super().__init__()

    @override
    def open(self) -> Journal:
        return open_apart(self.root)

    @override
    def stored(self) -> dict[str, bytes]:
        with closing(sqlite3.connect(database(self.root))) as connection:
            query = "SELECT key, value FROM Cache WHERE key LIKE 'b/%' AND key NOT LIKE '%#f'"
            return dict(connection.execute(query))

    @override
    def teardown(self) -> None:
        journal = self.journals[0]
        assert isinstance(journal, DiskJournal)
        assert examined(journal).problems == (), "every seal and every tally"
        super().teardown()
        self.folder.cleanup()


OwnersInMemory.TestCase.settings = search(120)
OwnersOnDisk.TestCase.settings = search(12, steps=40, nightly=30)
TestOwnersInMemory = OwnersInMemory.TestCase
TestOwnersOnDisk = pytest.mark.slow(OwnersOnDisk.TestCase)
