"""What two entrants, a journal that refuses or answers late, and a cancellation at a bad moment must not break."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
from typing_extensions import override

from support.harness import World, batch, running
from support.odd import Held, OddJournal, SlowCallbacks, complete, once, writes
from toolslot import (
    BatchBusy,
    BatchRun,
    CallTimedOut,
    Done,
    DurableExecutor,
    EventKind,
    Fenced,
    Limits,
    MemoryJournal,
    NotDone,
    SlotState,
    ToolPolicy,
    ToolslotError,
    UnknownOutcome,
)
from toolslot._batch._registry import Registry, registry_of
from toolslot._domain._slot import BatchKey, Finished, Lost, Started, Verdict, Withdrawn
from toolslot._errors import JournalBusy, JournalFull
from toolslot.journal import Decide, Reserve

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
ASK = {"t": ToolPolicy(on_unknown="ask")}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def odd(world: World) -> OddJournal:
    return OddJournal(world.store)


def on(journal: MemoryJournal, **settings: Any) -> DurableExecutor:
    return DurableExecutor(journal, hooks=[], **settings)


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)


class Killed(BaseException):
    """The process dies here."""


def die_inside(world: World, executor: DurableExecutor, *tools: str) -> None:
    """The first call began under a process that died."""
    run = executor.open(batch(*tools))
    run.__enter__()

    def fn() -> None:
        world.crash()
        raise Killed

    with pytest.raises(Killed):
        run.call(0, fn)


async def ok() -> str:
    return "ok"


# --- opening ---------------------------------------------------------------------------------------------------------------


def test_a_batch_whose_opening_failed_can_be_opened_again(odd: OddJournal) -> None:
    odd.before = once(
        JournalBusy("another process commits"), lambda operation: isinstance(operation, Reserve)
    )
    executor = on(odd)
    with pytest.raises(JournalBusy), executor.open(batch("t")):
        pass
    with executor.open(batch("t")) as run:
        assert run.call(0, lambda: 1) == 1


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside another"])
def test_an_interrupt_as_the_batch_is_found_leaves_nothing_that_others_wait_for(
    odd: OddJournal, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    executor = on(odd)
    original = Registry.attach

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        original(*args, **kwargs)
        raise KeyboardInterrupt  # at its last line, say

    run = executor.open(batch("t"))
    with executor.open(batch("t")) if others else nullcontext(), monkeypatch.context() as patched:
        patched.setattr(Registry, "attach", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.__enter__()
    assert not len(registry_of(odd)), "it was let go"
    with executor.open(batch("t")) as run:
        assert run.call(0, lambda: 1) == 1


def test_a_run_can_be_left_more_than_once_and_opened_again(odd: OddJournal) -> None:
    executor = on(odd)
    run = executor.open(batch("t", "u"))
    with executor.open(batch("t", "u")) as other:
        for _ in range(2):
            with run:
                assert run.call(0, lambda: 1) == 1
                run.release()
                run.release()
        assert other.call(1, lambda: 2) == 2
    assert not len(registry_of(odd))


def test_who_opens_a_batch_and_is_cancelled_takes_nobody_along(odd: OddJournal) -> None:
    held = odd.after = Held(lambda operation: isinstance(operation, Reserve))
    executor = on(odd)

    async def open_and_call() -> str:
        async with executor.open(batch("t")) as run:
            return await run.acall(0, ok)

    async def main() -> None:
        first, second = (asyncio.create_task(open_and_call()) for _ in range(2))
        await until(lambda: len(held) == 1)
        odd.after = lambda _, future: future
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == "ok"
        assert await open_and_call() == "ok"

    asyncio.run(main())


@needs_fork
def test_a_forked_child_does_not_go_on_with_its_parents_batch() -> None:
    with on(MemoryJournal()).open(batch("t")) as run:
        assert in_child(lambda: refused(run))
        assert run.call(0, lambda: 1) == 1


def refused(run: BatchRun) -> bool:
    try:
        run.call(0, lambda: 1)
    except ToolslotError as error:
        return "forked" in str(error)
    return False


@needs_fork
def test_a_forked_child_has_all_permits_to_itself() -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(i: int) -> None:
        entered.set()
        assert release.wait(10)

    one = Limits(process=1, batch_timeout=10)
    with running(lambda: on(MemoryJournal(), limits=one).run_all(batch("t"), {"t": slow})):
        assert entered.wait(10)
        try:
            assert in_child(
                lambda: (
                    on(MemoryJournal(), limits=one).run_all(batch("t", run="r"), {"t": lambda i: 7}) == [7]
                )
            )
        finally:
            release.set()


def in_child(check: Callable[[], bool]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 warns of forks beside threads, which is what this is about
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# --- what is seen of the journal ----------------------------------------------------------------------------------------------


def test_a_load_that_answers_late_does_not_undo_what_was_recorded_since(
    world: World, odd: OddJournal
) -> None:
    die_inside(world, world.executor(policies=ASK), "t", "t")
    loading, go_on = threading.Event(), threading.Event()

    def late(future: Future[Any]) -> Future[Any]:
        held: Future[Any] = Future()
        loading.set()
        threading.Thread(target=lambda: go_on.wait(10) and complete(held, future)).start()
        return held

    with on(odd, policies=ASK).open(batch("t", "t")) as run:
        with pytest.raises(UnknownOutcome):
            run.call(0, lambda: 0)
        odd.loaded = late

        def again() -> None:
            with pytest.raises(UnknownOutcome):
                run.call(0, lambda: 0)

        with running(again):
            assert loading.wait(10)
            assert run.call(1, lambda: "once") == "once"
            go_on.set()
        assert run.slot(1).state is SlotState.SUCCEEDED


def test_what_comes_next_is_planned_on_what_was_just_recorded(odd: OddJournal) -> None:
    def threaded(operation: Any, future: Future[Any]) -> Future[Any]:
        if not writes(operation, Finished):
            return future
        slow = SlowCallbacks()
        threading.Timer(0.01, complete, args=(slow, future)).start()
        return slow

    outcomes = iter([ConnectionRefusedError(), "ok"])

    def tool() -> Any:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    policies = {"t": ToolPolicy(on_unknown="ask", not_done=ConnectionRefusedError, retry=2)}
    with on(odd, policies=policies).open(batch("t")) as run:
        odd.after = threaded
        assert run.call(0, tool) == "ok"


# --- records that could not be written ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "answer"),
    [(ToolPolicy(), "ran again"), (ToolPolicy(reconcile=lambda slot: Done("reconciled")), "reconciled")],
)
def test_a_failure_that_was_not_recorded_leaves_a_call_its_policy_can_settle(
    odd: OddJournal, policy: ToolPolicy, answer: str
) -> None:
    odd.before = once(JournalFull("no room"), lambda operation: writes(operation, Finished))
    with on(odd, policies={"t": policy}).open(batch("t")) as run:
        with pytest.raises(ZeroDivisionError):
            run.call(0, lambda: 1 // 0)
        assert run.call(0, lambda: "ran again") == answer


def test_a_failure_that_was_not_recorded_can_be_decided(odd: OddJournal) -> None:
    odd.before = once(JournalFull("no room"), lambda operation: writes(operation, Finished))
    with on(odd, policies=ASK).open(batch("t")) as run:
        with pytest.raises(ZeroDivisionError):
            run.call(0, lambda: 1 // 0)
        with pytest.raises(UnknownOutcome) as raised:
            run.call(0, lambda: "ran again")
        run.decide(0, Done("decided"), by="ada", why="", version=raised.value.version)
        assert run.call(0, lambda: "ran again") == "decided"


def test_a_result_kept_in_memory_gives_way_to_that_of_a_new_owner(world: World, odd: OddJournal) -> None:
    odd.before = once(JournalFull("no room"), lambda operation: writes(operation, Finished))
    with on(odd).open(batch("t")) as run:
        with pytest.raises(JournalFull):
            run.call(0, lambda: "old")
        with world.executor().open(batch("t")) as other:
            other.takeover(force=True, why="it hangs")
            assert other.call(0, lambda: "new") == "new"
        with pytest.raises(Fenced):
            run.call(0, lambda: "again")
        assert run.call(0, lambda: "again") == "new"
    assert len(registry_of(odd)) == 0, "nothing keeps the batch alive any more"


# --- cancellation -------------------------------------------------------------------------------------------------------------


def test_a_call_that_shares_a_slot_runs_when_the_other_was_cancelled_before_its_code(odd: OddJournal) -> None:
    held = odd.after = Held(lambda operation: writes(operation, Started, Withdrawn))

    async def main() -> None:
        async with on(odd, policies=ASK).open(batch("t")) as run:
            first = asyncio.create_task(run.acall(0, ok))
            await until(lambda: len(held) == 1)
            second = asyncio.create_task(run.acall(0, ok))
            await asyncio.sleep(0)
            first.cancel()
            held.let_go()  # the start mark is seen now; that it was taken back is not, for a while
            with pytest.raises(asyncio.CancelledError):
                await first
            odd.after = lambda _, future: future
            assert await second == "ok"
            held.let_go()

    asyncio.run(main())


def test_a_call_that_shares_a_slot_does_not_share_the_question_of_the_other(world: World) -> None:
    """The second is entered with the answer; stopping at the question of the first it would lose it, and wait for ever."""

    class Asked(Exception):
        pass

    async def main() -> None:
        entered, pauses = asyncio.Event(), asyncio.Event()

        async def asks() -> str:
            entered.set()
            await pauses.wait()
            raise Asked

        async with on(MemoryJournal(world.store), policies=ASK, pauses=(Asked,)).open(batch("t")) as run:
            first = asyncio.create_task(run.acall(0, asks))
            await entered.wait()
            second = asyncio.create_task(run.acall(0, ok))
            await asyncio.sleep(0)
            pauses.set()
            with pytest.raises(Asked):
                await first
            assert await second == "ok"

    asyncio.run(main())


def test_a_reconciler_can_settle_a_call_whose_loss_is_still_being_written(odd: OddJournal) -> None:
    held = odd.after = Held(lambda operation: writes(operation, Lost))
    policies = {"t": ToolPolicy(reconcile=lambda slot: Done("reconciled"))}

    async def main() -> None:
        entered = asyncio.Event()

        async def hangs() -> None:
            entered.set()
            await asyncio.Event().wait()

        async with on(odd, policies=policies).open(batch("t")) as run:
            first = asyncio.create_task(run.acall(0, hangs))
            await entered.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            second = asyncio.create_task(run.acall(0, ok))
            odd.after = lambda _, future: future
            assert await second == "reconciled"
            held.let_go()

    asyncio.run(main())


def test_a_call_cancelled_in_the_queue_of_its_executor_is_taken_back() -> None:
    release = threading.Event()

    async def main() -> SlotState:
        with ThreadPoolExecutor(1) as threads:
            blocker = threads.submit(release.wait, 10)
            async with on(MemoryJournal(), policies=ASK).open(batch("t")) as run:
                call = asyncio.create_task(run.acall(0, lambda: "entered", offload=threads))
                await until(lambda: run.slot(0).state is SlotState.RUNNING)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                release.set()
                await asyncio.wrap_future(blocker)
                return run.slot(0).state

    assert asyncio.run(main()) is SlotState.RESERVED


def test_a_call_that_its_executor_refuses_was_not_entered(world: World) -> None:
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    with world.executor(policies=ASK).open(batch("t")) as run:
        with pytest.raises(RuntimeError, match="shutdown"):
            run.call(0, lambda: 1, offload=threads)
        assert run.slot(0).state is SlotState.RESERVED
        assert run.call(0, lambda: 2) == 2
    assert EventKind.WITHDRAWN in world.events.kinds()


# --- timeouts -----------------------------------------------------------------------------------------------------------------


def test_a_result_that_comes_while_the_timeout_is_recorded_is_the_result(odd: OddJournal) -> None:
    timed_out, ended = threading.Event(), threading.Event()

    class Noting(ThreadPoolExecutor):
        @override
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(*args, **kwargs)
            future.add_done_callback(lambda _: ended.set())
            return future

    def before(operation: Any) -> None:
        if writes(operation, Lost):
            timed_out.set()
            assert ended.wait(10)

    odd.before = before
    policies = {"t": ToolPolicy(on_unknown="ask", timeout=0.02)}
    with Noting(1) as threads, on(odd, policies=policies).open(batch("t")) as run:
        with pytest.raises(CallTimedOut):
            run.call(0, lambda: timed_out.wait(10) and "late", offload=threads)
        assert run.call(0, lambda: "again") == "late"


def test_a_result_that_comes_in_the_very_moment_of_the_timeout_is_the_result() -> None:
    class LastMoment(Future[Any]):
        @override
        def result(self, timeout: float | None = None) -> Any:
            if not self.done():
                self.set_result("in time")
                raise concurrent.futures.TimeoutError
            return super().result(timeout)

    class Elsewhere(Executor):
        @override
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            return LastMoment()

    with on(MemoryJournal(), policies={"t": ToolPolicy(timeout=30)}).open(batch("t")) as run:
        assert run.call(0, lambda: None, offload=Elsewhere()) == "in time"
        assert run.slot(0).state is SlotState.SUCCEEDED


# --- owners and decisions -------------------------------------------------------------------------------------------------------


def test_lenient_matching_does_not_take_the_batch_from_a_living_owner(world: World) -> None:
    entered, release = threading.Event(), threading.Event()
    got: list[str] = []

    def slow() -> str:
        entered.set()
        assert release.wait(10)
        return "first"

    def first() -> None:
        with world.executor().open(batch("t", "t", args={"a": 1})) as run:
            got.append(run.call(0, slow))

    with running(first):
        assert entered.wait(10)
        executor = world.executor(on_mismatch="lenient", limits=Limits(busy_timeout=0.05))
        with executor.open(batch("t", "t", args={"a": 2})) as run, pytest.raises(BatchBusy):
            run.call(1, lambda: 2)
        release.set()
    assert got == ["first"]


def test_a_forced_takeover_takes_the_batch_over_whoever_has_it_by_now(world: World) -> None:
    with (
        world.executor().open(batch("t")),
        world.executor().open(batch("t")) as second,
        world.executor().open(batch("t")) as third,
    ):
        second.takeover(force=True, why="it hangs")
        third.takeover(force=True, why="it hangs as well")
        assert [tenure.why for tenure in third.record.tenures] == ["reserved", "it hangs", "it hangs as well"]


@pytest.mark.parametrize("answer", [Done("reconciler"), NotDone()])
def test_a_decision_made_while_the_reconciler_thinks_stands(world: World, answer: Any) -> None:
    def reconcile(slot: Any) -> Any:
        key = BatchKey(slot.run_id, slot.batch_id)
        outcome = executor._engine().encode("t", "operator")
        world.journals[-1].submit(
            Decide(
                key=key,
                index=0,
                verdict=Verdict.DONE,
                by="ada",
                why="",
                decision_id="d",
                version=slot.version,
                at=0.0,
                outcome=outcome,
            )
        ).result()
        return answer

    policies = {"t": ToolPolicy(reconcile=reconcile)}
    die_inside(world, world.executor(policies=policies), "t")
    executor = world.executor(policies=policies)
    with executor.open(batch("t")) as run:
        assert run.call(0, world.tool("t")) == "operator"
    assert world.effects == []
