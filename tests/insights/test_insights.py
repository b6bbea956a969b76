"""What views are told of a journal: calls, attempts, owners, and what needs a decision."""

from __future__ import annotations

import threading

import pytest

from toolslot import Batch, Call, CallTimedOut, DurableExecutor, MemoryJournal, ToolPolicy
from toolslot._domain._slot import BatchKey, Handover, Reason, SlotState, Verdict
from toolslot._views import BatchStatus, BatchView, Insights
from toolslot.journal import Decide, MemoryStore, Release
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import Worker, do


class Kit(JournalKit):
    def __init__(self) -> None:
        self.store = MemoryStore()

    def make_journal(self) -> MemoryJournal:
        return MemoryJournal(self.store)


@pytest.fixture
def kit() -> Kit:
    return Kit()


def worker_of(kit: Kit, count: int = 2, **options: object) -> Worker:
    """A worker whose process lives until its journal is closed."""
    worker = kit.worker(count, **options)  # type: ignore[arg-type]
    worker.journal.enlist(worker.owner)
    return worker


def seen(kit: Kit, worker: Worker) -> BatchView:
    batch = Insights(kit.open()).batch(worker.key, reveal=True)
    assert batch is not None
    return batch


def test_a_batch_of_a_living_owner_is_running(kit: Kit) -> None:
    worker = worker_of(kit)
    worker.start(1)
    batch = seen(kit, worker)
    assert batch.state is BatchStatus.RUNNING
    assert [call.state for call in batch.calls] == [SlotState.RESERVED, SlotState.RUNNING]
    assert batch.pending == ()


def test_a_call_that_a_dead_owner_left_running_is_unknown_before_anybody_takes_over(kit: Kit) -> None:
    worker = worker_of(kit)
    mark = worker.started(1)
    worker.write(mark)
    worker.journal.close()
    batch = seen(kit, worker)
    assert (batch.state, batch.owners[0].died) == (BatchStatus.UNKNOWN, True)
    call = batch.calls[1]
    assert (call.state, call.reason) == (SlotState.UNKNOWN, Reason.OWNER_DIED)
    assert batch.pending == (call,)
    (attempt,) = call.attempts
    assert (attempt.state, attempt.until) == (SlotState.UNKNOWN, mark.at), "it cannot have worked after that"


def test_a_dead_owner_with_nothing_begun_leaves_an_interrupted_batch(kit: Kit) -> None:
    worker = worker_of(kit)
    worker.run(0)
    worker.journal.close()
    batch = seen(kit, worker)
    assert (batch.state, batch.pending) == (BatchStatus.INTERRUPTED, ())


def test_results_of_an_earlier_owner_are_replayed_for_the_later_one(kit: Kit) -> None:
    worker = worker_of(kit, 3)
    worker.run(0)
    worker.start(1)
    worker.journal.retire(worker.owner)
    journal = kit.open()
    later = worker.succeed(journal, kit.owner(journal))
    journal.enlist(later.owner)
    later.run(2)
    batch = seen(kit, later)
    assert [call.replayed for call in batch.calls] == [True, False, False]
    assert [owner.how for owner in batch.owners] == [Handover.RESERVED, Handover.DIED]
    first, second = batch.owners
    assert (first.died, first.until, second.died) == (True, second.since, False)


def test_every_attempt_is_told_with_how_it_ended(kit: Kit) -> None:
    worker = worker_of(kit, 1)
    for row in (worker.started(0), worker.withdrawn(0), worker.started(0, 2), worker.finished(0, "paid", 2)):
        worker.write(row)
    (call,) = seen(kit, worker).calls
    assert [(a.number, a.state) for a in call.attempts] == [
        (1, SlotState.RESERVED),
        (2, SlotState.SUCCEEDED),
    ]
    assert call.attempts[1].started_at is not None


def test_a_decision_is_told_with_who_and_why(kit: Kit) -> None:
    worker = worker_of(kit, 1)
    slot = worker.doubt(0)
    do(
        worker.journal,
        Decide(
            key=worker.key,
            index=0,
            verdict=Verdict.FAILED,
            by="ann",
            why="the bank says no",
            decision_id="d1",
            version=slot.version,
            at=9.0,
        ),
    )
    (call,) = seen(kit, worker).calls
    assert call.decision is not None
    assert (call.decision.by, call.decision.why) == ("ann", "the bank says no")


def test_arguments_results_and_error_messages_are_left_out_unless_asked_for(kit: Kit) -> None:
    worker = worker_of(kit, 1)
    worker.run(0, "a secret")
    (call,) = seen(kit, worker).calls
    assert call.result == "a secret"
    hidden = Insights(kit.open()).run("run")
    assert hidden is not None
    assert [(c.args, c.result, c.error) for c in hidden.calls] == [(None, None, None)]


def test_runs_are_listed_newest_first_with_what_they_need(kit: Kit) -> None:
    worker = worker_of(kit, 2, run="old")
    worker.start(0)
    worker.journal.close()
    done = worker_of(kit, 1, run="new")
    done.run(0)
    do(done.journal, Release(key=done.key, epoch=1, closed=True))
    new, old = Insights(kit.open()).runs()
    assert (new.run_id, new.state, new.pending) == ("new", BatchStatus.CLOSED, 0)
    assert (old.run_id, old.state, old.pending, old.calls) == ("old", BatchStatus.UNKNOWN, 1, 2)
    assert [run.run_id for run in Insights(kit.open()).runs(1)] == ["new"]


def test_pending_calls_are_told_with_the_state_of_their_owner(kit: Kit) -> None:
    worker = worker_of(kit, 2)
    worker.doubt(1)
    (pending,) = Insights(kit.open()).pending()
    assert (pending.call.index, pending.batch_state) == (1, BatchStatus.RUNNING)
    assert Insights(kit.open()).pending("another run") == ()


def test_a_closed_batch_needs_no_decision(kit: Kit) -> None:
    worker = worker_of(kit, 1)
    worker.doubt(0)
    do(worker.journal, Release(key=worker.key, epoch=1, closed=True))
    assert Insights(kit.open()).pending() == ()


def test_a_run_that_the_journal_does_not_hold_is_none(kit: Kit) -> None:
    assert Insights(kit.open()).run("run") is None


def test_the_limit_of_each_owner_is_told() -> None:
    journal = MemoryJournal()
    executor = DurableExecutor(journal)
    batch = Batch(run_id="run", batch_id="batch", calls=[Call(tool="read"), Call(tool="read")])
    with executor.open(batch, max_parallel=1) as run:
        run.call(0, lambda: "fog")
    view = Insights(journal).batch(BatchKey("run", "batch"))
    assert view is not None
    assert [owner.limit for owner in view.owners] == [1]


def test_a_call_that_the_policy_leaves_unknown_is_pending() -> None:
    journal = MemoryJournal()
    executor = DurableExecutor(journal, policies={"pay": ToolPolicy(on_unknown="ask", timeout=0.01)})
    batch = Batch(run_id="run", batch_id="batch", calls=[Call(tool="pay")])
    ended = threading.Event()
    with executor.open(batch) as run, pytest.raises(CallTimedOut):
        run.call(0, ended.wait)
    (pending,) = Insights(journal).pending()
    assert pending.call.reason is Reason.TIMED_OUT
    ended.set()


def test_a_run_says_when_it_was_read(kit: Kit) -> None:
    worker_of(kit, 1)
    run = Insights(kit.open(), clock=lambda: 17.0).run("run")
    assert run is not None
    assert run.read_at == 17.0
