"""Many askers at once: order, groups, futures, and who waits for whom."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from support.batches import manifest, reserve, reserving, working
from support.queues import Hold, Opened, sound
from toolslot._batch._bridge import wait_for
from toolslot._domain._slot import BatchKey, SlotRecord, SlotState, Witness
from toolslot._errors import Fenced, JournalBusy, JournalClosed, RunPurged
from toolslot.journal import Append, Change, JournalView, Purge
from toolslot.journal._queue import _writer
from toolslot.journal._queue._queued import QueuedJournal
from toolslot.testing._worker import PATIENCE, Broken


def commits(journal: QueuedJournal) -> int:
    core = journal._session.present()
    assert core is not None
    return core.writer.commits


def test_what_waits_goes_into_one_commit(journal: QueuedJournal) -> None:
    worker = reserve(journal, 100)
    before = commits(journal)
    with Hold(journal):
        futures = [journal.submit(Append(key=worker.key, row=worker.started(index))) for index in range(100)]
    for future in futures:
        future.result(PATIENCE)
    assert commits(journal) == before + 2, "the one that held, and the group"


def test_in_a_group_only_the_bad_operations_fail(journal: QueuedJournal) -> None:
    worker = reserve(journal, 60)
    with Hold(journal):
        good = [journal.submit(Append(key=worker.key, row=worker.started(index))) for index in range(60)]
        broken = journal.submit(Broken())
        fenced = journal.submit(Append(key=worker.key, row=worker.started(0, attempt=7)))
        more = journal.submit(reserving(journal, manifest(3, batch="other")))
    assert isinstance(broken.exception(PATIENCE), ZeroDivisionError)
    assert isinstance(fenced.exception(PATIENCE), Fenced)
    assert all(future.result(PATIENCE).state is SlotState.RUNNING for future in good)
    assert more.result(PATIENCE).fresh


def test_an_operation_that_raises_what_ends_programs_fails_alone_too(journal: QueuedJournal) -> None:
    class Quits:
        def change(self, view: JournalView) -> Change[None]:
            raise SystemExit("not here")

    worker = reserve(journal)
    with Hold(journal):
        quits = journal.submit(Quits())
        after = journal.submit(Append(key=worker.key, row=worker.started(0)))
    assert isinstance(quits.exception(PATIENCE), SystemExit)
    assert after.result(PATIENCE).state is SlotState.RUNNING


def test_an_operation_sees_what_those_before_it_in_the_group_wrote(journal: QueuedJournal) -> None:
    worker = reserve(journal, 1)
    with Hold(journal):
        start = journal.submit(Append(key=worker.key, row=worker.started(0)))
        finish = journal.submit(Append(key=worker.key, row=worker.finished(0)))
        again = journal.submit(Append(key=worker.key, row=worker.started(0, attempt=2)))
    assert start.result(PATIENCE).state is SlotState.RUNNING
    assert finish.result(PATIENCE).state is SlotState.SUCCEEDED
    assert isinstance(again.exception(PATIENCE), Fenced)


@pytest.mark.parametrize("known", [True, False])
def test_an_operation_sees_that_those_before_it_in_the_group_purged_the_batch(
    journal: QueuedJournal, known: bool
) -> None:
    """Whether it was reserved before the group, or in it."""
    made = manifest(2)
    worker = working(journal, made) if known else None
    purge = Purge(run_id="run", at=1.0, why="")
    with Hold(journal):
        reserved = journal.submit(reserving(journal, made))
        purged = journal.submit(purge)
        late = journal.submit(Append(key=made.key, row=worker.started(0))) if worker else None
        later = journal.submit(reserving(journal, manifest(2, batch="later")))
    assert reserved.result(PATIENCE).fresh is not known
    assert purged.exception(PATIENCE) is None
    again = journal.submit(reserving(journal, made))
    for refused in (late, again):
        assert refused is None or isinstance(refused.exception(PATIENCE), RunPurged)
    assert later.result(PATIENCE).fresh
    assert journal.keys("run").result(PATIENCE) == (BatchKey("run", "later"),)


def test_an_operation_sees_that_those_before_it_in_the_group_began_the_run(journal: QueuedJournal) -> None:
    second = replace(
        reserving(journal, manifest(2, batch="second")), witness=Witness.RUN, refuse_missing=True
    )
    with Hold(journal):
        first = journal.submit(reserving(journal, manifest(2, batch="first")))
        after = journal.submit(second)
    assert first.result(PATIENCE).fresh
    assert (after.result(PATIENCE).fresh, after.result(PATIENCE).missing) == (True, False)


def test_an_operation_that_fails_does_not_make_the_others_of_its_group_be_decided_again(
    journal: QueuedJournal,
) -> None:
    times: list[int] = []

    class Counting:
        def change(self, view: JournalView) -> Change[None]:
            times.append(1)
            return Change((), None)

    with Hold(journal):
        before = journal.submit(Counting())
        broken = journal.submit(Broken())
        after = journal.submit(Counting())
    assert isinstance(broken.exception(PATIENCE), ZeroDivisionError)
    assert (before.result(PATIENCE), after.result(PATIENCE), len(times)) == (None, None, 2)


def test_futures_complete_in_the_order_of_submission(journal: QueuedJournal) -> None:
    worker = reserve(journal, 500)
    order: list[int] = []
    futures: list[Future[object]] = []
    for index in range(500):
        future = journal.submit(Append(key=worker.key, row=worker.started(index)))
        future.add_done_callback(lambda _, index=index: order.append(index))
        futures.append(future)
    for future in futures:
        future.result(PATIENCE)
    assert order == list(range(500))


def test_cancelling_a_future_does_not_withdraw_the_write(journal: QueuedJournal) -> None:
    worker = reserve(journal, 1)
    with Hold(journal):
        future = journal.submit(Append(key=worker.key, row=worker.started(0)))
        assert future.cancel()
    assert worker.slot(0).state is SlotState.RUNNING


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_callback_that_raises_harms_nobody(
    journal: QueuedJournal, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def callback(_: object) -> None:
        raise error("in a callback")

    worker = reserve(journal, 2)
    with Hold(journal):
        first = journal.submit(Append(key=worker.key, row=worker.started(0)))
        first.add_done_callback(callback)
        second = journal.submit(Append(key=worker.key, row=worker.started(1)))
    assert first.result(PATIENCE).state is SlotState.RUNNING
    assert second.result(PATIENCE).state is SlotState.RUNNING


def test_a_callback_may_submit(journal: QueuedJournal) -> None:
    worker = reserve(journal, 1)
    done: Future[object] = Future()

    def finish(_: object) -> None:
        journal.submit(Append(key=worker.key, row=worker.finished(0))).add_done_callback(done.set_result)

    journal.submit(Append(key=worker.key, row=worker.started(0))).add_done_callback(finish)
    done.result(PATIENCE)
    assert worker.slot(0).state is SlotState.SUCCEEDED


def test_a_callback_may_close_the_journal(opened: Opened) -> None:
    journal = opened()
    closed = threading.Event()

    def close(_: object) -> None:
        journal.close()
        closed.set()

    worker = reserve(journal)
    journal.submit(Append(key=worker.key, row=worker.started(0))).add_done_callback(close)
    assert closed.wait(PATIENCE)
    with pytest.raises(JournalClosed):
        worker.start(1)
    again = opened()
    assert worker.through(again).slot(0).state is SlotState.RUNNING
    again.close()


def test_too_much_waiting_work_is_refused_and_nothing_is_stranded(
    journal: QueuedJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_writer, "_MOST_WAITING", 10)
    worker = reserve(journal, 100)
    taken: list[Future[SlotRecord]] = []

    def submit_all() -> None:
        for index in range(100):
            taken.append(journal.submit(Append(key=worker.key, row=worker.started(index))))  # noqa: PERF401

    with Hold(journal), pytest.raises(JournalBusy, match="wait for the journal"):
        submit_all()
    assert 10 <= len(taken) < 20
    assert all(future.result(PATIENCE).state is SlotState.RUNNING for future in taken)


@pytest.mark.parametrize("turn", range(5))
def test_submitting_while_closing_is_either_written_or_refused(opened: Opened, turn: int) -> None:
    journal = opened()
    worker = reserve(journal, 200)
    begun = threading.Barrier(5)
    futures: list[list[Future[SlotRecord]]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        begun.wait()
        for index in range(number, 200, 4):
            try:
                futures[number].append(journal.submit(Append(key=worker.key, row=worker.started(index))))
            except JournalClosed:
                return

    with ThreadPoolExecutor(4) as threads:
        waits = [threads.submit(work, number) for number in range(4)]
        begun.wait()
        journal.close()
        for wait in waits:
            wait.result(PATIENCE)
    written = sum(_outcome(future) for of_thread in futures for future in of_thread)
    again = opened()
    states = [slot.state for slot in worker.through(again).record().slots]
    again.close()
    assert states.count(SlotState.RUNNING) == written


def _outcome(future: Future[SlotRecord]) -> bool:
    error = future.exception(PATIENCE)
    assert error is None or isinstance(error, JournalClosed)
    return error is None


def test_threads_that_record_at_once_all_get_their_answer(journal: QueuedJournal) -> None:
    worker = reserve(journal, 160)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(16) as threads:
            slots = list(threads.map(lambda index: worker.run(index, f"result {index}"), range(160)))
    finally:
        sys.setswitchinterval(interval)
    assert [slot.index for slot in slots] == list(range(160))
    assert worker.record().settled
    assert sound(journal)


def test_the_same_result_from_many_threads_is_recorded_once(journal: QueuedJournal) -> None:
    worker = reserve(journal, 1)
    worker.start(0)
    row = worker.finished(0)
    with ThreadPoolExecutor(8) as threads:
        slots = list(threads.map(lambda _: worker.write(row), range(32)))
    assert {slot.version for slot in slots} == {2}


def test_several_event_loops_wait_at_once_and_one_may_close_early(journal: QueuedJournal) -> None:
    worker = reserve(journal, 300)

    async def record(indexes: range, patience: float | None) -> None:
        async def one(index: int) -> None:
            await wait_for(journal.submit(Append(key=worker.key, row=worker.started(index))))
            await wait_for(journal.submit(Append(key=worker.key, row=worker.finished(index))))

        tasks = [asyncio.create_task(one(index)) for index in indexes]
        if patience is not None:
            await asyncio.sleep(patience)
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def loop(indexes: range, patience: float | None) -> None:
        asyncio.run(record(indexes, patience))

    jobs: list[Callable[[], None]] = [
        lambda: loop(range(100), None),
        lambda: loop(range(100, 200), None),
        lambda: loop(range(200, 300), 0),
    ]
    with ThreadPoolExecutor(3) as threads:
        for job in [threads.submit(job) for job in jobs]:
            job.result(PATIENCE)
    states = [slot.state for slot in worker.record().slots]
    assert set(states[:200]) == {SlotState.SUCCEEDED}
    assert set(states[200:]) <= {SlotState.RUNNING, SlotState.RESERVED, SlotState.SUCCEEDED}
    assert sound(journal)
