"""The threads of `run_all`: used only by code that runs, and as many as that needs."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import pytest

from support.harness import Peak, batch
from support.odd import Held, OddJournal, writes
from toolslot import BatchTimedOut, DurableExecutor, Limits, MemoryJournal, current_call
from toolslot._batch import _crew
from toolslot._batch._crew import Crew, drive_all
from toolslot._batch._steps import Steps
from toolslot._domain._slot import Started


def crew_threads() -> int:
    return sum(thread.name.startswith("toolslot_") for thread in threading.enumerate())


def executor(**limits: Any) -> DurableExecutor:
    return DurableExecutor(MemoryJournal(), limits=Limits(**limits), hooks=[])


def test_calls_that_return_at_once_do_not_need_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_crew, "_TICK", 5.0)  # seconds that none of them takes, however busy the machine is
    used: set[int] = set()
    executor().run_all(batch(*["t"] * 200), {"t": lambda i: used.add(threading.get_ident())})
    assert len(used) == 1


def test_calls_that_hold_their_threads_get_one_each() -> None:
    barrier = threading.Barrier(32)
    assert executor().run_all(batch(*["t"] * 32), {"t": lambda i: barrier.wait(20) >= 0}) == [True] * 32


def test_no_thread_is_left_when_all_have_ended() -> None:
    before = crew_threads()
    executor().run_all(batch(*["t"] * 40), {"t": lambda i: i})
    assert crew_threads() == before


def test_no_thread_waits_for_a_start_mark_that_is_on_its_way() -> None:
    """One thread, and all the marks of the calls that came without a permit at first are held back: the others run."""
    journal = OddJournal()
    held = Held(lambda operation: writes(operation, Started))
    journal.after = held
    ran: list[int] = []
    finished = threading.Semaphore(0)

    def tool(i: int) -> int:
        ran.append(i)
        finished.release()
        return i

    here = DurableExecutor(journal, limits=Limits(batch=4), hooks=[])
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(here.run_all(batch(*["t"] * 8), {"t": tool})))
    thread.start()
    for _ in range(4):
        assert finished.acquire(timeout=20)
    while len(held) < 4:
        threading.Event().wait(0.001)
    assert sorted(ran) == [0, 1, 2, 3]
    assert crew_threads() <= 4
    held.let_go()
    thread.join(20)
    assert got == [list(range(8))]


def test_a_limit_holds_and_the_calls_behind_it_come_in_order() -> None:
    peak, order = Peak(), list[int]()

    def tool(i: int) -> int:
        with peak:
            order.append(i)
            return i

    assert executor(batch=1).run_all(batch(*["t"] * 20), {"t": tool}) == list(range(20))
    assert (peak.peak, order) == (1, list(range(20)))


def test_a_call_that_waits_for_its_permit_gives_up_at_the_deadline_of_the_batch() -> None:
    release = threading.Event()
    here = executor(batch=1, batch_timeout=0.05)
    first, second = here.run_all(batch("t", "t"), {"t": lambda i: release.wait(20)}, return_exceptions=True)
    release.set()
    assert not isinstance(first, bool)
    assert isinstance(second, BatchTimedOut)


def test_an_interrupt_is_raised_when_all_calls_have_ended() -> None:
    entered, ended = threading.Event(), list[int]()

    def tool(i: int) -> None:
        entered.set()
        threading.Event().wait(0.02)
        ended.append(i)

    class Interrupted(Crew):
        def _patience(self) -> float | None:
            if entered.is_set() and not self.__dict__.setdefault("came", False):
                self.__dict__["came"] = True
                raise KeyboardInterrupt
            return 0.001

    here = executor()
    with here.open(batch(*["t"] * 3)) as run:
        steps = [run._entry(i, lambda i=i: tool(i), None, None, False, False).steps() for i in range(3)]
        with pytest.raises(KeyboardInterrupt):
            Interrupted(steps, 3).outcomes()
    assert sorted(ended) == [0, 1, 2]


def test_what_a_call_sees_of_its_context_is_its_own_whatever_thread_drives_it() -> None:
    seen = executor(batch=2).run_all(batch(*["t"] * 30), {"t": lambda i: (i, current_call().index)})
    assert seen == [(i, i) for i in range(30)]


def test_no_more_calls_are_begun_at_a_time_than_can_run() -> None:
    """The others do not queue for permits meanwhile, where they would stand in the way of other batches."""
    gate, begun, full = Future[None](), list[int](), threading.Event()

    def steps(i: int) -> Steps[int]:
        begun.append(i)
        if len(begun) == 4:
            full.set()
        yield gate
        return i

    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(drive_all([steps(i) for i in range(20)], 4)))
    thread.start()
    assert full.wait(20)
    assert begun == [0, 1, 2, 3]
    gate.set_result(None)
    thread.join(20)
    assert got == [list(range(20))]
    assert begun == list(range(20))
