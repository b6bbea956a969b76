"""Forked children open the journal anew, as processes of their own, whatever its store is."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator

import pytest

from support.batches import reserve
from support.children import PATIENCE, ended_well, in_child
from support.queues import sound
from toolslot._domain._slot import SlotState
from toolslot.journal import Append, OwnerState
from toolslot.journal._queue._queued import QueuedJournal
from toolslot.testing._worker import Worker, state_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture(autouse=True)
def _forking_with_threads_is_what_is_tested() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield


def test_a_child_uses_the_journal_it_was_born_with(journal: QueuedJournal) -> None:
    worker = reserve(journal, 3)
    worker.run(0, "parent")

    def work() -> None:
        assert worker.slot(0).state is SlotState.SUCCEEDED
        worker.run(1, "child")

    assert ended_well(in_child(work))
    worker.run(2, "parent again")
    assert worker.record().settled
    assert sound(journal)


def test_a_child_has_an_identity_of_its_own_and_sees_its_parent_alive(journal: QueuedJournal) -> None:
    worker = reserve(journal)
    journal.enlist(worker.owner)
    parent = journal.process

    def work() -> None:
        assert journal.process.pid == os.getpid()
        assert journal.process.token != parent.token
        assert state_of(journal, worker.owner) is OwnerState.ALIVE

    assert ended_well(in_child(work))


def test_children_forked_while_threads_write_all_get_through(journal: QueuedJournal) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for turn in range(10**6):
                worker = reserve(journal, 5, batch=f"{number}/{turn}")
                for index in range(5):
                    worker.run(index)
                if stop.is_set():
                    return
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(12):

            def work(number: int = number) -> None:
                child: Worker = reserve(journal, 2, batch=f"child {number}")
                child.run(0)
                assert child.slot(0).state is SlotState.SUCCEEDED

            assert ended_well(in_child(work)), f"child {number}"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert sound(journal)


def test_a_fork_inside_a_futures_callback_does_not_hang(journal: QueuedJournal) -> None:
    pids: list[int] = []
    forked = threading.Event()

    def fork(_: object) -> None:  # in the writer's thread
        pids.append(in_child(lambda: None))
        forked.set()

    worker = reserve(journal)
    journal.submit(Append(key=worker.key, row=worker.started(0))).add_done_callback(fork)
    assert forked.wait(PATIENCE)
    assert ended_well(pids[0])
    assert worker.finish(0).state is SlotState.SUCCEEDED


def start_of(worker: Worker, index: int) -> None:
    worker.start(index)


def test_grandchildren_get_through_too(journal: QueuedJournal) -> None:
    worker = reserve(journal, 3)

    def child() -> None:
        worker.start(0)
        assert ended_well(in_child(lambda: start_of(worker, 1)))
        worker.finish(0)

    assert ended_well(in_child(child))
    assert [slot.state for slot in worker.record().slots] == [
        SlotState.SUCCEEDED,
        SlotState.RUNNING,
        SlotState.RESERVED,
    ]
