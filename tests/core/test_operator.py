"""What a person does from outside: `resolve`, `takeover`, `abandon`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from toolslot import (
    BatchBusy,
    BatchClosed,
    BatchKey,
    DecisionRefused,
    Done,
    Failed,
    Fenced,
    MemoryJournal,
    NotDone,
    NotStorable,
    abandon,
    resolve,
    takeover,
)
from toolslot._domain._slot import Handover, Reason, SlotState
from toolslot._views import CallView, Insights
from toolslot.journal import Journal, MemoryStore, OwnerState, TakeOver
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import Worker, do

SAYS = {"by": "ann", "why": "the bank says so"}


class Kit(JournalKit):
    def __init__(self) -> None:
        self.store = MemoryStore()

    def make_journal(self) -> MemoryJournal:
        return MemoryJournal(self.store)

    def alive(self, count: int = 2, **options: object) -> Worker:
        worker = self.worker(count, **options)  # type: ignore[arg-type]
        worker.journal.enlist(worker.owner)
        return worker


@pytest.fixture
def kit() -> Iterator[Kit]:
    kit = Kit()
    yield kit
    kit.teardown_method()


@pytest.fixture
def dead(kit: Kit) -> Worker:
    """It died with both of its calls begun."""
    worker = kit.alive()
    worker.start(0)
    worker.start(1)
    worker.journal.close()
    return worker


def seen(journal: Journal, key: BatchKey, index: int) -> CallView:
    batch = Insights(journal).batch(key)
    assert batch is not None
    return batch.calls[index]


def test_a_call_that_the_dead_left_running_is_decided_at_the_version_that_was_shown(
    kit: Kit, dead: Worker
) -> None:
    journal = kit.open()
    version = seen(journal, dead.key, 0).version
    slot = resolve(journal, dead.key, 0, Done("receipt"), version=version, **SAYS)
    assert slot.state is SlotState.SUCCEEDED
    assert seen(journal, dead.key, 0).decision is not None


def test_deciding_one_call_leaves_the_versions_shown_of_its_siblings_right(kit: Kit, dead: Worker) -> None:
    journal = kit.open()
    versions = [seen(journal, dead.key, index).version for index in (0, 1)]
    for index, version in enumerate(versions):
        resolve(journal, dead.key, index, NotDone(), version=version, **SAYS)
    assert seen(journal, dead.key, 1).state is SlotState.RESERVED


def test_afterwards_nobody_holds_the_batch_and_the_person_is_named_as_who_held_it(
    kit: Kit, dead: Worker
) -> None:
    journal = kit.open()
    resolve(journal, dead.key, 0, NotDone(), version=2, **SAYS)
    record = journal.load(dead.key).result()
    assert record is not None
    assert record.fence.held is False
    assert (record.tenures[-1].by, record.tenures[-1].how) == ("ann", Handover.DIED)
    assert record.owner_state is OwnerState.DEAD


def test_results_count_as_replayed_for_an_agent_only(kit: Kit) -> None:
    worker = kit.alive()
    worker.run(0)
    worker.start(1)
    worker.journal.close()
    journal = kit.open()
    resolve(journal, worker.key, 1, NotDone(), version=2, **SAYS)
    assert seen(journal, worker.key, 0).replayed is False
    agent = kit.open()
    record = agent.load(worker.key).result()
    assert record is not None
    do(
        agent,
        TakeOver(
            key=worker.key, owner=kit.owner(agent), expected_epoch=record.fence.epoch, at=9.0, why="resumed"
        ),
    )
    assert seen(journal, worker.key, 0).replayed is True


def test_a_refused_decision_takes_nothing_over(kit: Kit, dead: Worker) -> None:
    journal = kit.open()
    before = journal.history(dead.key).result()
    with pytest.raises(DecisionRefused, match="recorded meanwhile"):
        resolve(journal, dead.key, 0, Done(1), version=1, **SAYS)
    with pytest.raises(DecisionRefused, match="no call 2"):
        resolve(journal, dead.key, 2, Done(1), version=1, **SAYS)
    with pytest.raises(DecisionRefused, match="no batch"):
        resolve(journal, BatchKey("run", "another"), 0, Done(1), version=1, **SAYS)
    with pytest.raises(NotStorable):
        resolve(journal, dead.key, 0, Done(object()), version=2, **SAYS)
    assert journal.history(dead.key).result() == before


def test_a_running_call_of_a_living_owner_is_not_decided(kit: Kit) -> None:
    worker = kit.alive()
    worker.start(0)
    journal = kit.open()
    for version in (1, 2):
        with pytest.raises(DecisionRefused, match="is running, not unknown"):
            resolve(journal, worker.key, 0, Failed("no"), version=version, **SAYS)
    assert worker.slot(0).state is SlotState.RUNNING


def test_an_unknown_call_of_a_living_owner_is_decided_and_the_owner_goes_on(kit: Kit) -> None:
    worker = kit.alive()
    slot = worker.doubt(0, Reason.TAKEN_OVER)
    worker.start(1)
    resolve(kit.open(), worker.key, 0, Failed("it bounced"), version=slot.version, **SAYS)
    worker.write(worker.finished(1))
    assert [worker.slot(index).state for index in (0, 1)] == [SlotState.FAILED, SlotState.SUCCEEDED]


def test_somebody_who_takes_the_batch_over_at_the_same_moment_wins(kit: Kit, dead: Worker) -> None:
    class Overtaken(MemoryJournal):
        """Another process takes the batch over between our look at it and our write."""

        def submit(self, operation: object) -> object:  # type: ignore[override]
            if isinstance(operation, TakeOver) and operation.why != "quicker":
                other = kit.open()
                quicker = TakeOver(
                    key=dead.key, owner=kit.owner(other), expected_epoch=1, at=9.0, why="quicker"
                )
                do(other, quicker)
            return super().submit(operation)  # type: ignore[arg-type]

    journal = Overtaken(kit.store)
    with pytest.raises(Fenced, match="at the same moment"):
        resolve(journal, dead.key, 0, Done(1), version=2, **SAYS)
    record = journal.load(dead.key).result()
    journal.close()
    assert record is not None
    assert [slot.state for slot in record.slots] == [SlotState.UNKNOWN] * 2


def test_no_batch_is_taken_when_one_owner_lives_and_force_takes_all(kit: Kit) -> None:
    first, second = kit.alive(1, batch="a"), kit.alive(1, batch="b")
    second.start(0)
    first.journal.close()
    journal = kit.open()
    with pytest.raises(BatchBusy, match="takeover --force"):
        takeover(journal, "run", **SAYS)
    assert seen(journal, second.key, 0).state is SlotState.RUNNING
    assert takeover(journal, "run", force=True, **SAYS) == (first.key, second.key)
    tenures = [journal.load(key).result() for key in (first.key, second.key)]
    assert [record and record.tenures[-1].how for record in tenures] == [Handover.DIED, Handover.FORCED]
    assert seen(journal, second.key, 0).reason is Reason.TAKEN_OVER
    assert takeover(journal, "run", **SAYS) == ()


def test_an_abandoned_batch_is_closed_and_says_by_whom_and_why(kit: Kit, dead: Worker) -> None:
    journal = kit.open()
    assert abandon(journal, "run", **SAYS) == (dead.key,)
    record = journal.load(dead.key).result()
    assert record is not None
    assert record.fence.closed
    assert (record.tenures[-1].by, record.tenures[-1].why) == ("ann", "abandoned: the bank says so")
    with pytest.raises(BatchClosed):
        resolve(journal, dead.key, 0, NotDone(), version=record.slots[0].version, **SAYS)
    assert abandon(journal, "run", **SAYS) == ()


def test_nothing_is_abandoned_when_one_owner_lives_unless_only_others_are_named(kit: Kit) -> None:
    first, second = kit.alive(1, batch="a"), kit.alive(1, batch="b")
    first.journal.close()
    journal = kit.open()
    with pytest.raises(BatchBusy):
        abandon(journal, "run", **SAYS)
    assert seen(journal, first.key, 0).state is SlotState.RESERVED
    assert abandon(journal, "run", batch_ids=["a"], **SAYS) == (first.key,)
    assert second.record().fence.closed is False
