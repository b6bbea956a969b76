"""The contract of traffic: many writers, order, durability, and failures that stay alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from toolslot._domain._slot import BatchKey, Row, SlotRecord, SlotState
from toolslot._errors import Fenced
from toolslot.journal import Append, Release
from toolslot.testing._checks import raises, same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import PATIENCE, Broken, Worker, do, text

THREADS = 16


class TrafficContract(JournalKit):
    """submit, under load."""

    def test_everything_acknowledged_to_many_threads_is_in_the_record(self) -> None:
        worker = self.worker(THREADS * 8)
        hands = [worker.through(self.open()), worker]

        def work(thread: int) -> None:
            hand = hands[thread % 2]
            for index in range(thread, THREADS * 8, THREADS):
                hand.run(index, f"result {index}")

        self._at_once(work)
        self.die(worker.journal)
        record = worker.through(self.open()).record()
        same([slot.outcome for slot in record.slots], [text(f"result {i}") for i in range(THREADS * 8)])
        same({slot.version for slot in record.slots}, {2}, "versions")

    def test_many_batches_are_written_at_once(self) -> None:
        journals = [self.open(), self.open()]

        def work(thread: int) -> None:
            worker = self.worker(4, run=f"run {thread}", journal=journals[thread % 2])
            for index in range(4):
                worker.run(index, f"{thread}/{index}")

        self._at_once(work)
        for thread in range(THREADS):
            record = self.load(self.open(), BatchKey(f"run {thread}", "batch"))
            outcomes = [slot.outcome for slot in record.slots] if record else []
            same(outcomes, [text(f"{thread}/{index}") for index in range(4)], f"run {thread}")

    def test_of_many_starts_of_one_call_exactly_one_counts(self) -> None:
        worker = self.worker(3)
        hands = [worker.through(self.open()), worker]
        entered: list[tuple[int, int]] = []

        def work(thread: int) -> None:
            for index in range(3):
                try:
                    hands[thread % 2].start(index)
                except Fenced:
                    continue
                entered.append((index, thread))

        self._at_once(work)
        same(sorted(index for index, _ in entered), [0, 1, 2], "calls entered")
        same([slot.version for slot in worker.record().slots], [1, 1, 1], "versions")

    def test_of_many_results_of_one_call_exactly_one_counts(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        counted: list[SlotRecord] = []

        def work(thread: int) -> None:
            try:
                counted.append(worker.finish(0, f"result {thread}"))
            except Fenced:
                return

        self._at_once(work)
        slot = worker.slot(0)
        same([one.outcome for one in counted], [slot.outcome], "acknowledged")
        same(len(slot.evidence), THREADS - 1, "evidence")

    def _at_once(self, work: Callable[[int], None]) -> None:
        barrier = threading.Barrier(THREADS)

        def enter(thread: int) -> None:
            barrier.wait(PATIENCE)
            work(thread)

        with ThreadPoolExecutor(THREADS) as threads:
            for future in [threads.submit(enter, thread) for thread in range(THREADS)]:
                future.result()

    def test_a_start_mark_never_commits_after_its_result(self) -> None:
        worker = self.worker(50)
        pending: list[Future[SlotRecord]] = []
        for index in range(50):
            pending += [
                self._submit(worker, worker.started(index)),
                self._submit(worker, worker.finished(index)),
            ]
        states = [future.result(PATIENCE).state for future in pending]
        same(states, [SlotState.RUNNING, SlotState.SUCCEEDED] * 50, "states")

    def test_work_handed_in_without_waiting_is_done_in_its_order(self) -> None:
        worker = self.worker(1)
        self._submit(worker, worker.started(0))
        self._submit(worker, worker.withdrawn(0))
        self._submit(worker, worker.started(0, attempt=2))
        self._submit(worker, worker.finished(0, attempt=2))
        do(worker.journal, Release(key=worker.key, epoch=1, closed=True))
        slot = worker.slot(0)
        same((slot.state, slot.attempt, slot.version), (SlotState.SUCCEEDED, 2, 4), "slot")

    def test_what_a_future_answered_survives_the_death_of_its_opener(self) -> None:
        worker = self.worker(3)
        worker.run(0)
        answered = worker.start(1)
        self.die(worker.journal)
        record = worker.through(self.open()).record()
        same(record.slots[1], answered, "slot")
        states = [slot.state for slot in record.slots]
        same(states, [SlotState.SUCCEEDED, SlotState.RUNNING, SlotState.RESERVED], "states")

    def test_what_a_future_answered_is_seen_by_others_at_once(self) -> None:
        worker = self.worker(1)
        other = worker.through(self.open())
        seen: list[bool] = []
        for attempt in range(1, 21):
            started = worker.start(0, attempt)
            seen.append(other.slot(0) == started)
            worker.write(worker.withdrawn(0, attempt))
        same(seen, [True] * 20, "seen")

    def test_a_failing_operation_fails_alone(self) -> None:
        worker = self.worker(20)
        journal = worker.journal
        good = [self._submit(worker, worker.started(index)) for index in range(10)]
        broken = journal.submit(Broken())
        refused = self._submit(worker, worker.started(0, attempt=9))
        good += [self._submit(worker, worker.started(index)) for index in range(10, 20)]
        same({future.result(PATIENCE).state for future in good}, {SlotState.RUNNING}, "the others")
        with raises(Exception):
            broken.result(PATIENCE)
        with raises(Fenced):
            refused.result(PATIENCE)
        same({slot.version for slot in worker.record().slots}, {1}, "versions")

    def test_cancelling_a_future_does_not_withdraw_its_write(self) -> None:
        worker = self.worker(10)
        pending = [self._submit(worker, worker.started(index)) for index in range(10)]
        for future in pending:
            future.cancel()
        wait(pending, PATIENCE)
        worker.finish(9)  # and the journal goes on working
        states = [slot.state for slot in worker.record().slots]
        same(states, [SlotState.RUNNING] * 9 + [SlotState.SUCCEEDED], "states")

    def test_work_may_be_handed_in_when_a_future_completes(self) -> None:
        worker = self.worker(2)
        chained: Future[Future[SlotRecord]] = Future()
        first = self._submit(worker, worker.started(0))
        first.add_done_callback(lambda _: chained.set_result(self._submit(worker, worker.started(1))))
        same(chained.result(PATIENCE).result(PATIENCE).state, SlotState.RUNNING, "state")

    def _submit(self, worker: Worker, row: Row) -> Future[SlotRecord]:
        return worker.journal.submit(Append(key=worker.key, row=row))
