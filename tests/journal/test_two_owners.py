"""Two owners and an operator do whatever they like with one batch; a reference model says what must come of it.

The model knows the promises, not the code: it keeps no rows and no fold, only each slot's standing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypedDict, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from toolslot._codec import Payload
from toolslot._errors import BatchClosed, DecisionRefused, Fenced
from toolslot._identity import Owner
from toolslot._slot import (
    BatchKey,
    BatchRecord,
    Finished,
    Lost,
    Manifest,
    Paused,
    Reason,
    Row,
    SlotRecord,
    SlotSpec,
    SlotState,
    Started,
    Verdict,
    Withdrawn,
)
from toolslot.journal import Append, Decide, MemoryJournal, MemoryStore, Operation, Release, Reserve, TakeOver

T = TypeVar("T")
KEY = BatchKey("run", "batch")
CALLS = 2
S = SlotState

#: mostly whoever was last given an epoch, sometimes the other one
owners = st.sampled_from(["holder"] * 7 + ["other"])
indexes = st.integers(0, CALLS - 1)
#: a call that something can be said about: mostly one that runs or has run, if there is one
touched = st.sampled_from(["running", "running", "escaped or unknown", "first", "last"])
reasons = st.sampled_from([Reason.ESCAPED, Reason.ESCAPED, *Reason])
#: which attempt a row is about, seen from the slot's newest
offsets = st.sampled_from([0] * 8 + [1, -1])


class _About(TypedDict):
    index: int
    generation: int
    attempt: int
    epoch: int
    at: float


@dataclass
class Expected:
    """What the promises say about one slot."""

    state: SlotState = S.RESERVED
    attempt: int = 0
    reason: Reason | None = None
    outcome: bytes | None = None
    escaped: bool = False
    versions: int = 0
    #: results that came too late
    late: list[bytes] = field(default_factory=lambda: [])

    @property
    def final(self) -> bool:
        return self.state is S.SUCCEEDED or (self.state is S.FAILED and not self.escaped)


class TwoOwners(RuleBasedStateMachine):
    """Each owner keeps working with the last epoch it was given, whether or not that is still the batch's."""

    def __init__(self) -> None:
        super().__init__()
        store = MemoryStore()
        self.journals = [MemoryJournal(store), MemoryJournal(store)]
        self.owners = [Owner(process=self.journals[0].process, token=f"owner {i}") for i in range(2)]
        self.epochs = [0, 0]
        self.holder = 0
        self.epoch = 1
        self.held = True
        self.closed = False
        self.model = [Expected() for _ in range(CALLS)]
        self.acknowledged: dict[int, SlotRecord] = {}
        self.finals: dict[int, tuple[object, ...]] = {}
        self.now = 0.0

    @initialize()
    def reserve(self) -> None:
        args = Payload(codec="j", data=b"{}")
        specs = tuple(SlotSpec(index=i, tool="pay", call_id="", digest=None, args=args) for i in range(CALLS))
        manifest = Manifest(key=KEY, specs=specs, created=0.0)
        self.do("holder", Reserve(manifest=manifest, owner=self.owners[0], at=0.0))
        self.epochs[0] = 1

    # --- the owners -----------------------------------------------------------------------------------------

    @rule(owner=owners, index=indexes, offset=st.sampled_from([1] * 8 + [0, 2]))
    def start(self, owner: str, index: int, offset: int) -> None:
        slot, current = self.model[index], self.current(owner)
        attempt = slot.attempt + offset
        row = Started(**self.about(owner, index, attempt), queued_at=self.now)
        refused = not self.held or slot.final or slot.state is S.RUNNING or offset != 1
        if not current:
            self.refused(owner, row, Fenced)
        elif self.closed:
            self.refused(owner, row, BatchClosed)
        elif refused:
            self.refused(owner, row, Fenced)
        else:
            self.write(owner, row)
            self.moves(index, S.RUNNING, attempt=attempt)

    @rule(owner=owners, call=touched, offset=offsets, how=st.sampled_from(["done", "failed", "escaped"]))
    def finish(self, owner: str, call: str, offset: int, how: str) -> None:
        index = self.index(call)
        failed, escaped = how != "done", how == "escaped"
        slot = self.model[index]
        data = f"result {self.now}".encode()
        row = Finished(
            **self.about(owner, index, slot.attempt + offset),
            outcome=Payload(codec="s", data=data),
            failed=failed,
            escaped=escaped,
        )
        doubtful = slot.state is S.UNKNOWN and slot.reason in (Reason.TIMED_OUT, Reason.CANCELLED)
        in_time = offset == 0 and (slot.state is S.RUNNING or doubtful)
        if self.current(owner) and not self.closed and in_time:
            self.write(owner, row)
            self.moves(index, S.FAILED if failed else S.SUCCEEDED, outcome=data, escaped=escaped)
        else:
            self.refused(owner, row, Fenced)
            slot.late.append(data)
            slot.versions += 1

    @rule(owner=owners, call=touched, offset=offsets, reason=reasons)
    def lose(self, owner: str, call: str, offset: int, reason: Reason) -> None:
        index = self.index(call)
        slot = self.model[index]
        row = Lost(**self.about(owner, index, slot.attempt + offset), reason=reason)
        doubted = slot.state is S.FAILED and slot.escaped and reason is Reason.ESCAPED
        if self.said(owner, row, offset == 0 and (slot.state is S.RUNNING or doubted)):
            self.moves(index, S.UNKNOWN, reason=reason, outcome=slot.outcome)

    @rule(owner=owners, call=touched, offset=offsets)
    def withdraw(self, owner: str, call: str, offset: int) -> None:
        index = self.index(call)
        slot = self.model[index]
        row = Withdrawn(**self.about(owner, index, slot.attempt + offset), why="")
        if self.said(owner, row, offset == 0 and slot.state in (S.RUNNING, S.UNKNOWN)):
            self.moves(index, S.RESERVED)

    @rule(owner=owners, call=touched, offset=offsets)
    def pause(self, owner: str, call: str, offset: int) -> None:
        index = self.index(call)
        slot = self.model[index]
        row = Paused(**self.about(owner, index, slot.attempt + offset))
        if self.said(owner, row, offset == 0 and slot.state is S.RUNNING):
            self.moves(index, S.WAITING)

    @rule(owner=owners, how=st.sampled_from(["not yet"] * 6 + ["let go", "close"]))
    def release(self, owner: str, how: str) -> None:
        if how == "not yet":  # else little would ever happen in between
            return
        closed = how == "close"
        operation = Release(key=KEY, epoch=self.epochs[self.number(owner)], closed=closed)
        if not self.current(owner):
            self.raises(owner, operation, Fenced)
            return
        self.do(owner, operation)
        self.held, self.closed = False, self.closed or closed

    @rule(owner=owners, behind=st.sampled_from([0, 0, 0, 1]), force=st.booleans())
    def take_over(self, owner: str, behind: int, force: bool) -> None:
        operation = TakeOver(
            key=KEY,
            owner=self.owners[self.number(owner)],
            expected_epoch=self.epoch - behind,
            at=self.tick(),
            why="",
            force=force,
        )
        before = self.load()
        record = self.do(owner, operation)
        if behind:
            assert record == before
            return
        self.epoch += 1
        self.holder = self.number(owner)
        self.epochs[self.holder], self.held = self.epoch, True
        reason = Reason.TAKEN_OVER if force else Reason.OWNER_DIED
        for index, slot in enumerate(self.model):
            if slot.state is S.RUNNING:
                self.moves(index, S.UNKNOWN, reason=reason)
                self.acknowledged[index] = record.slots[index]
        assert record == self.load()

    # --- the operator ---------------------------------------------------------------------------------------

    @rule(call=touched, verdict=st.sampled_from(Verdict), behind=st.sampled_from([0, 0, 0, 1]))
    def decide(self, call: str, verdict: Verdict, behind: int) -> None:
        index = self.index(call)
        slot = self.model[index]
        data = f"decided {self.now}".encode()
        operation = Decide(
            key=KEY,
            index=index,
            verdict=verdict,
            by="ops",
            why="",
            decision_id=str(self.now),
            version=slot.versions - behind,
            at=self.tick(),
            outcome=None if verdict is Verdict.RERUN else Payload(codec="s", data=data),
        )
        if slot.state is not S.UNKNOWN or behind:
            self.raises("other", operation, DecisionRefused)
        elif verdict is Verdict.RERUN and self.closed:
            self.raises("other", operation, BatchClosed)
        else:
            self.acknowledged[index] = self.do("other", operation)
            states = {Verdict.DONE: S.SUCCEEDED, Verdict.FAILED: S.FAILED, Verdict.RERUN: S.RESERVED}
            self.moves(index, states[verdict], outcome=None if verdict is Verdict.RERUN else data)

    # --- what must always hold ------------------------------------------------------------------------------

    @invariant()
    def every_slot_stands_where_the_model_says(self) -> None:
        for slot, expected in zip(self.load().slots, self.model, strict=True):
            assert (slot.state, slot.attempt) == (expected.state, expected.attempt)
            assert (slot.reason, slot.escaped) == (expected.reason, expected.escaped)
            assert (slot.outcome.data if slot.outcome else None) == expected.outcome
            assert slot.version == expected.versions
            assert [row.outcome.data for row in slot.evidence if row.outcome] == expected.late

    @invariant()
    def what_is_final_stays_as_it_is(self) -> None:
        for slot in self.load().slots:
            said = (slot.state, slot.attempt, slot.outcome, slot.decision, slot.ended_at)
            if slot.final:
                assert self.finals.setdefault(slot.index, said) == said
            else:
                assert slot.index not in self.finals

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        for index, told in self.acknowledged.items():
            slot = self.load().slots[index]
            evidence = len(slot.evidence) - len(told.evidence)
            assert slot == replace(told, version=told.version + evidence, evidence=slot.evidence)

    @invariant()
    def the_fence_is_the_last_owners(self) -> None:
        record = self.load()
        assert (record.fence.epoch, record.fence.held, record.fence.closed) == (
            self.epoch,
            self.held,
            self.closed,
        )
        assert [tenure.epoch for tenure in record.tenures] == list(range(1, self.epoch + 1))
        assert record.tenures[-1].owner == record.fence.owner

    # --- helpers --------------------------------------------------------------------------------------------

    def number(self, owner: str) -> int:
        return self.holder if owner == "holder" else 1 - self.holder

    def index(self, call: str) -> int:
        wanted = {"running": [S.RUNNING], "escaped or unknown": [S.UNKNOWN, S.FAILED]}.get(call, [])
        found = [index for index, slot in enumerate(self.model) if slot.state in wanted]
        return found[0] if found else (CALLS - 1 if call == "last" else 0)

    def tick(self) -> float:
        self.now += 1.0
        return self.now

    def about(self, owner: str, index: int, attempt: int) -> _About:
        return _About(
            index=index, generation=1, attempt=attempt, epoch=self.epochs[self.number(owner)], at=self.tick()
        )

    def current(self, owner: str) -> bool:
        return self.epochs[self.number(owner)] == self.epoch

    def moves(
        self,
        index: int,
        state: SlotState,
        *,
        attempt: int | None = None,
        reason: Reason | None = None,
        outcome: bytes | None = None,
        escaped: bool = False,
    ) -> None:
        slot = self.model[index]
        slot.state, slot.reason, slot.outcome, slot.escaped = state, reason, outcome, escaped
        slot.attempt = slot.attempt if attempt is None else attempt
        slot.versions += 1

    def said(self, owner: str, row: Row, counts: bool) -> bool:
        """Whether a row that is ignored where it says nothing new was written."""
        if not self.current(owner):
            self.refused(owner, row, Fenced)
            return False
        before = self.load()
        self.write(owner, row)
        if not counts:
            assert self.load() == before
        return counts

    def write(self, owner: str, row: Row) -> None:
        self.acknowledged[row.index] = self.do(owner, Append(key=KEY, row=row))

    def refused(self, owner: str, row: Row, error: type[Exception]) -> None:
        self.raises(owner, Append(key=KEY, row=row), error)

    def raises(self, owner: str, operation: Operation[object], error: type[Exception]) -> None:
        assert type(self.journals[self.number(owner)].submit(operation).exception()) is error

    def do(self, owner: str, operation: Operation[T]) -> T:
        return self.journals[self.number(owner)].submit(operation).result()

    def load(self) -> BatchRecord:
        record = self.journals[0].load(KEY).result()
        assert record is not None
        return record


TwoOwners.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestTwoOwners = TwoOwners.TestCase
