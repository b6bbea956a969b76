"""`ToolPolicy(on_resume="rerun")`: what is recorded is for people; another process runs the call again, and its own answer counts."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from support.harness import World, batch, die_inside, running
from toolslot import (
    BatchKey,
    BatchRecord,
    BatchRun,
    CallTimedOut,
    Done,
    DurableExecutor,
    EventKind,
    InvalidSetting,
    Limits,
    MemoryJournal,
    NotDone,
    Retry,
    SlotRecord,
    SlotState,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot._codec import Payload
from toolslot._domain._plan import Rerun, settle_unknown
from toolslot._domain._slot import SlotSpec
from toolslot._views import Insights
from toolslot._views.timeline._plain import plain

RERUN = ToolPolicy(on_resume="rerun")


class Process(MemoryJournal):
    """What a process of its own has of the store."""

    def __init__(self, world: World) -> None:
        super().__init__(world.store)
        self._process = replace(self._process, token=secrets.token_hex(8))
        world.journals.append(self)


def another(world: World, policy: ToolPolicy = RERUN, **settings: Any) -> DurableExecutor:
    """The executor of another process."""
    return DurableExecutor(Process(world), default_policy=policy, hooks=[world.events], **settings)


def entered(run: BatchRun, *values: str) -> list[Any]:
    """The answers of all calls; those that run answer with these values."""
    return [run.call(index, lambda value=value: value) for index, value in enumerate(values)]


def recorded(world: World, *values: str, policy: ToolPolicy = RERUN, dies: bool = True) -> None:
    """A first process to whose end all calls are recorded."""
    tools = ["load"] * len(values)
    with another(world, policy).open(batch(*tools)) as run:
        assert entered(run, *values) == list(values)
        if dies:
            world.crash()


@pytest.mark.parametrize("dies", [True, False], ids=["its batch open", "its batch closed"])
def test_another_process_runs_it_again_once_and_its_answer_counts(world: World, dies: bool) -> None:
    recorded(world, "first", dies=dies)
    executor = another(world)
    for _ in range(2):
        with executor.open(batch("load")) as run:
            assert entered(run, "second") == ["second"]
            assert entered(run, "third") == ["second"], "what it left in memory is still there"
    assert world.events.kinds().count(EventKind.REPEATED) == 1
    with another(world).open(batch("load")) as run:
        assert entered(run, "fourth") == ["fourth"]


def test_the_process_that_ran_it_replays_it_also_in_another_batch_run(world: World) -> None:
    executor = another(world)
    for _ in range(3):
        with executor.open(batch("load")) as run:
            assert entered(run, "first") == ["first"]
    assert EventKind.REPEATED not in world.events.kinds()


def test_without_it_the_answer_is_replayed(world: World) -> None:
    recorded(world, "first", policy=ToolPolicy(on_resume="replay"))
    with another(world, ToolPolicy()).open(batch("load")) as run:
        assert entered(run, "second") == ["first"]


def test_it_runs_also_while_another_process_holds_the_batch(world: World) -> None:
    inside, release = threading.Event(), threading.Event()

    def work() -> None:
        with another(world).open(batch("load", "work")) as run:
            run.call(0, lambda: "there")
            run.call(1, lambda: (inside.set(), release.wait(10)))

    with running(work):
        assert inside.wait(10)
        with another(world).open(batch("load", "work")) as run:
            assert run.call(0, lambda: "here") == "here"
        release.set()


def test_entrants_of_one_process_share_the_repetition(world: World) -> None:
    recorded(world, "first")
    inside, release, answers = threading.Event(), threading.Event(), []

    def slow() -> str:
        inside.set()
        assert release.wait(10)
        return "second"

    with another(world).open(batch("load")) as run:
        with running(lambda: answers.append(run.call(0, slow))):
            assert inside.wait(10)
            with running(lambda: answers.append(run.call(0, lambda: "third"))):
                release.set()
        assert answers == ["second", "second"]


class Watched(Process):
    """Tells when it was looked at twice."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.loads, self.looked = 0, threading.Event()

    def load(self, key: BatchKey) -> Future[BatchRecord | None]:
        self.loads += 1
        if self.loads == 2:
            self.looked.set()
        return super().load(key)


def test_entrants_share_it_in_a_closed_batch_too_however_long_it_takes(world: World) -> None:
    recorded(world, "first", dies=False)
    inside, release, answers = threading.Event(), threading.Event(), []
    journal = Watched(world)
    executor = DurableExecutor(journal, default_policy=RERUN)

    def slow() -> str:
        inside.set()
        assert release.wait(10)
        return "second"

    def again() -> str:
        journal.looked.set()
        return "third"

    def enter(code: Callable[[], str]) -> None:
        with executor.open(batch("load")) as run:
            answers.append(run.call(0, code))

    with running(lambda: enter(slow)):
        assert inside.wait(10)
        with running(lambda: enter(again)):
            assert journal.looked.wait(10)
            release.set()
    assert answers == ["second", "second"]


def test_when_it_fails_its_error_is_raised_and_the_record_stays(world: World) -> None:
    recorded(world, "first")

    def broken() -> str:
        raise OSError("no such file")

    with another(world).open(batch("load")) as run:
        with pytest.raises(OSError, match="no such file"):
            run.call(0, broken)
        assert run.slot(0).state is SlotState.SUCCEEDED
        assert run.slot(0).repeated_in == ()
        assert entered(run, "second") == ["second"]


def test_its_retries_are_those_of_the_policy(world: World) -> None:
    recorded(world, "first")
    tries = iter([OSError("busy"), OSError("busy"), None])

    def third_time() -> str:
        if error := next(tries):
            raise error
        return "second"

    policy = ToolPolicy(on_resume="rerun", retry=Retry(stop=3))
    with another(world, policy).open(batch("load")) as run:
        assert run.call(0, third_time) == "second"


def test_a_failure_that_is_an_answer_is_run_again_too_and_may_come_out_otherwise(world: World) -> None:
    with another(world).open(batch("load")) as run:
        assert run.call(0, lambda: "no such file", is_error=lambda _: True) == "no such file"
    with another(world).open(batch("load")) as run:
        assert run.slot(0).state is SlotState.FAILED
        assert entered(run, "second") == ["second"]
        assert run.slot(0).state is SlotState.SUCCEEDED


def test_a_result_that_somebody_decided_was_made_in_no_process(world: World) -> None:
    die_inside(world, another(world))
    with another(world).open(batch("pay")) as run:
        run.takeover(why="to decide")
        run.decide(0, Done("by hand"), by="me", why="looked", version=run.slot(0).version)
        assert entered(run, "second") == ["second"]
        assert entered(run, "third") == ["second"]


def test_when_it_times_out_the_record_stays(world: World) -> None:
    recorded(world, "first")
    policy = ToolPolicy(on_resume="rerun", timeout=0.01)

    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    async def life() -> None:
        async with another(world, policy).open(batch("load")) as run:
            with pytest.raises(CallTimedOut):
                await run.acall(0, hang)
            assert run.slot(0).state is SlotState.SUCCEEDED

    asyncio.run(life())


def test_when_it_is_cancelled_the_record_stays(world: World) -> None:
    recorded(world, "first")

    async def life() -> None:
        inside = asyncio.Event()

        async def hang() -> str:
            inside.set()
            await asyncio.Event().wait()
            return "never"

        async with another(world).open(batch("load")) as run:
            task = asyncio.create_task(run.acall(0, hang))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert run.slot(0).state is SlotState.SUCCEEDED
            assert await run.acall(0, lambda: asyncio.sleep(0, "second")) == "second"

    asyncio.run(life())


def test_limits_hold_for_it(world: World) -> None:
    recorded(world, "a", "b")
    lock = threading.Lock()
    inside, release = threading.Event(), threading.Event()

    def load() -> str:
        assert lock.acquire(blocking=False), "one at a time"
        inside.set()
        assert release.wait(10)
        lock.release()
        return "loaded"

    answers: list[str] = []
    with (
        another(world, limits=Limits(batch=1)).open(batch("load", "load")) as run,
        running(lambda: answers.append(run.call(0, load))),
    ):
        assert inside.wait(10)
        with running(lambda: answers.append(run.call(1, load))):
            release.set()
    assert answers == ["loaded", "loaded"]


def test_a_call_that_began_and_left_no_record_is_run_again_without_a_warning(world: World) -> None:
    assert RERUN.unknown_rule == "rerun"
    spec = SlotSpec(index=0, tool="load", call_id="c", digest="d", args=Payload(codec="j", data=b"{}"))
    slot = SlotRecord(spec=spec, state=SlotState.UNKNOWN, attempt=1)
    assert settle_unknown(slot, RERUN) == Rerun(2, undeclared=False)


@pytest.mark.parametrize(
    "more",
    [
        {"on_unknown": "ask"},
        {"on_unknown": "fail"},
        {"reconcile": lambda _: NotDone()},
        {"on_failed": "replay"},
    ],
    ids=["ask", "fail", "reconcile", "on_failed"],
)
def test_with_what_it_contradicts_it_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="any number of times"):
        ToolPolicy(on_resume="rerun", **more)


def test_it_goes_with_what_it_does_not_contradict() -> None:
    assert ToolPolicy(on_resume="rerun", idempotent=True, on_failed="retry", on_unknown="rerun")
    assert ToolPolicy(on_resume="replay", on_unknown="ask")
    with pytest.raises(InvalidSetting, match="on_resume='again' is not known"):
        ToolPolicy(on_resume="again")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_views_say_that_it_was_run_again(world: World) -> None:
    recorded(world, "first", "x")
    executor = another(world)
    with executor.open(batch("load", "load")) as run:
        assert run.call(0, lambda: "second") == "second"
    seen = Insights(executor.journal).run("run-1", reveal=True)
    assert seen is not None
    repeated, recorded_only = seen.calls
    assert (repeated.repeats, repeated.replayed, repeated.result) == (1, False, "second")
    assert recorded_only.repeats == 0
    assert "run again on resume" in plain(seen)


def test_a_call_whose_tool_is_served_no_more_replays(world: World) -> None:
    recorded(world, "first")
    with another(world).open(batch("load")) as run:
        assert run.call(0, lambda: "no such tool", unserved=True) == "first"
    assert EventKind.REPEATED not in world.events.kinds()


def test_a_call_that_began_when_its_tool_was_served_is_asked_about_when_it_is_not(world: World) -> None:
    die_inside(world, another(world))
    with another(world).open(batch("pay")) as run, pytest.raises(UnknownOutcome):
        run.call(0, lambda: "no such tool", unserved=True)
