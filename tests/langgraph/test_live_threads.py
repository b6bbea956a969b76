"""Sync tools of an async graph run in threads, which go on when nobody waits for them any more: whoever resumes takes their result."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool, tool
from langgraph.prebuilt import ToolRuntime
from langgraph.types import TimeoutPolicy

from support.outliving import POLICIES, Payment, told, until, waited_for
from support.sending import FORMS, GO, answers, calls
from toolslot import BatchBusy, CallTimedOut, Limits
from toolslot._batch._registry import registry_of
from toolslot.journal import DiskJournal

pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'arun_with_retry' was never awaited"
)  # LangGraph's own

#: why nobody waits for the thread any more; a sync graph cannot be cancelled, and waits for the threads of a step
CAUSES = {
    True: ("caller cancelled", "call timeout", "batch timeout", "node timeout", "step timeout"),
    False: ("call timeout", "batch timeout"),
}
#: seconds, in which the tool is entered
SOON = 0.4

#: every way in meets every cause and every policy, and every cause every policy; with the lowest releases every way in every cause
CASES = [
    pytest.param(
        asynchronous,
        form,
        cause,
        POLICIES[(i + j + k) % len(POLICIES)],
        marks=[pytest.mark.any_release] * (k > 0),
    )
    for asynchronous, causes in CAUSES.items()
    for i, form in enumerate(sorted(FORMS))
    for j, cause in enumerate(causes)
    for k in ((0, 2) if asynchronous else (0,))
]


class Scene:
    """An agent that pays, in one process: graphs with executors of their own, over one journal in a directory."""

    def __init__(self, talk: Any, form: Any, root: Path, payment: Payment, tools: Any = None) -> None:
        self.talk, self.form, self.payment = talk, form, payment
        self.root = root / "journal"
        self.opened: list[DiskJournal] = []
        self.journal = self.open()

        def pay(i: int) -> str:
            """Pays."""
            return payment.pay()

        self.tools = tools or [tool("work")(pay)]
        talk.calls = calls("a", i=0)

    def open(self) -> DiskJournal:
        self.opened.append(DiskJournal.open(self.root))
        return self.opened[-1]

    def graph(
        self, policy: str = "default", cause: str = "", busy_timeout: float = 20, **settings: Any
    ) -> Any:
        limits: dict[str, Any] = {"busy_timeout": busy_timeout}
        if cause == "batch timeout":
            limits["batch_timeout"] = SOON
        timeout = SOON if cause == "call timeout" else None
        graph = self.form(
            self.talk,
            self.tools,
            journal=self.open(),
            policies={"work": self.payment.policy(policy, timeout=timeout)},
            limits=Limits(**limits),
            **settings,
        )
        if cause == "node timeout":
            graph.nodes["tools"].timeout = TimeoutPolicy(run_timeout=SOON)
        if cause == "step timeout":
            graph.step_timeout = SOON
        return graph

    def begin(self, graph: Any, value: Any) -> asyncio.Task[Any]:
        if not self.talk.asynchronous:
            return asyncio.ensure_future(
                asyncio.to_thread(graph.invoke, value, self.talk.config, durability="sync")
            )
        return asyncio.ensure_future(graph.ainvoke(value, self.talk.config, durability="sync"))

    async def interrupted(self, cause: str, policy: str = "default") -> None:
        """A run of the agent whose tool is in its thread and that nobody waits for any more."""
        run = self.begin(self.graph(policy, cause), GO)
        await told(self.payment.inside)
        if cause == "caller cancelled":
            run.cancel()
        await asyncio.wait((run,))
        assert run.cancelled() or run.exception() is not None

    @property
    def at_work(self) -> int:
        """Batches that are worked on in this process."""
        return len(registry_of(self.journal))

    async def joined(self, run: asyncio.Task[Any]) -> None:
        """The run has come to wait for the thread, or has gone on without it."""
        await until(lambda: waited_for(self.journal) or run.done() or self.payment.began > 1)


@pytest.fixture
def make(talk: Any, tmp_path: Path) -> Any:
    made: list[Scene] = []

    def scene(form: str, payment: Payment, tools: Any = None) -> Scene:
        made.append(Scene(talk, FORMS[form], tmp_path, payment, tools))
        return made[-1]

    yield scene
    for each in made:
        each.payment.go_on.set()
        for journal in each.opened:
            journal.close()


def play(payment: Payment, scene: Callable[[], Any]) -> Any:
    """Run the scene in a loop of its own; a thread that is still inside is let go, or the loop would wait for it."""

    async def main() -> Any:
        try:
            return await scene()
        finally:
            payment.go_on.set()

    return asyncio.run(main())


@pytest.mark.parametrize(("talk", "form", "cause", "policy"), CASES, indirect=["talk"])
def test_who_resumes_at_once_waits_for_the_thread_and_takes_its_result(
    make: Any, form: str, cause: str, policy: str
) -> None:
    payment = Payment()
    scene = make(form, payment)

    async def resumed() -> Any:
        await scene.interrupted(cause, policy)
        run = scene.begin(scene.graph(policy), None)
        await scene.joined(run)
        payment.go_on.set()
        return await run

    assert answers(play(payment, resumed)) == [("a", "paid by thread 1")]
    assert payment.settled_once == (1, 1, 0)


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_thread_that_ended_before_the_resume_is_replayed(make: Any, form: str) -> None:
    payment = Payment()
    scene = make(form, payment)

    async def resumed() -> Any:
        await scene.interrupted("caller cancelled", "reconciler")
        payment.go_on.set()
        await until(lambda: not scene.at_work)
        return await scene.begin(scene.graph("reconciler"), None)

    assert answers(play(payment, resumed)) == [("a", "paid by thread 1")]
    assert payment.settled_once == (1, 1, 0)


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_thread_that_does_not_end_is_waited_for_as_long_as_for_another_owner(make: Any, form: str) -> None:
    payment = Payment()
    scene = make(form, payment)

    async def resumed() -> Any:
        await scene.interrupted("caller cancelled", "reconciler")
        run = scene.begin(scene.graph("reconciler", busy_timeout=0.1), None)
        await asyncio.wait((run,))
        assert payment.settled_once == (1, 0, 0)
        payment.go_on.set()
        await until(lambda: not scene.at_work)
        assert answers(await scene.begin(scene.graph("reconciler"), None)) == [("a", "paid by thread 1")]
        return run.exception()

    assert isinstance(play(payment, resumed), BatchBusy)
    assert payment.settled_once == (1, 1, 0)


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_what_the_thread_raises_is_raised_where_it_is_waited_for(make: Any, form: str) -> None:
    payment = Payment(raises=ConnectionError("the bank is away"))
    scene = make(form, payment)

    async def resumed() -> Any:
        await scene.interrupted("caller cancelled")
        run = scene.begin(scene.graph(), None)
        await scene.joined(run)
        payment.go_on.set()
        await asyncio.wait((run,))
        return run.exception()

    error = play(payment, resumed)
    assert isinstance(error, ConnectionError)
    assert payment.settled_once == (1, 1, 0)


class Till(BaseTool):
    """A tool of a class of its own, which counts in itself."""

    name: str = "work"
    description: str = "Pays."
    paid: int = 0
    payment: Any

    def _run(self, i: int, run_manager: CallbackManagerForToolRun | None = None) -> str:
        assert run_manager is not None
        self.paid += 1
        return self.payment.pay()


class AsyncToo(Till):
    async def _arun(self, i: int, **_: Any) -> str:
        self.paid += 1
        return "paid by async code"


def structured(payment: Payment) -> BaseTool:
    def pay(i: int, config: RunnableConfig, runtime: ToolRuntime) -> str:
        """Pays."""
        assert config["configurable"]["thread_id"]
        assert runtime.tool_call_id == "a"
        return payment.pay()

    return StructuredTool.from_function(pay, name="work")


def simple(payment: Payment) -> BaseTool:
    return Tool("work", lambda i: payment.pay(), "Pays.")


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize(
    "made", [lambda p: Till(payment=p), structured, simple], ids=["class", "structured", "tool"]
)
@pytest.mark.parametrize("form", ["middleware", "one_node"])
def test_the_threads_of_every_kind_of_sync_tool_are_seen(make: Any, form: str, made: Any) -> None:
    payment = Payment()
    pay = made(payment)
    scene = make(form, payment, [pay])

    async def resumed() -> Any:
        await scene.interrupted("caller cancelled", "reconciler")
        run = scene.begin(scene.graph("reconciler"), None)
        await scene.joined(run)
        payment.go_on.set()
        return await run

    assert answers(play(payment, resumed)) == [("a", "paid by thread 1")]
    assert payment.settled_once == (1, 1, 0)
    assert getattr(pay, "paid", 1) == 1, "what a tool keeps in itself is kept"


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_tool_with_async_code_runs_that(make: Any, form: str) -> None:
    pay = AsyncToo(payment=Payment())
    scene = make(form, pay.payment, [pay])
    assert answers(play(pay.payment, lambda: scene.begin(scene.graph(), GO))) == [("a", "paid by async code")]
    assert pay.paid == 1


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_loop_that_ends_waits_for_the_thread_and_its_result_is_recorded(make: Any, form: str) -> None:
    payment = Payment()
    scene = make(form, payment)

    async def left() -> None:
        scene.begin(scene.graph(), GO)
        await told(payment.inside)
        asyncio.get_running_loop().call_soon(payment.go_on.set)

    asyncio.run(left())
    assert answers(play(payment, lambda: scene.begin(scene.graph(), None))) == [("a", "paid by thread 1")]
    assert payment.settled_once == (1, 1, 0)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of the code behind the thread
@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_thread_that_outlives_its_loop_leaves_the_call_to_its_policy_once_it_has_ended(
    make: Any, form: str
) -> None:
    payment = Payment()
    scene = make(form, payment)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(scene.interrupted("caller cancelled", "reconciler"))
    loop.close()

    async def resumed() -> Any:
        run = scene.begin(scene.graph("reconciler"), None)
        await scene.joined(run)
        payment.go_on.set()
        return await run

    assert answers(play(payment, resumed)) == [("a", "paid, says the reconciler")]
    assert payment.settled_once == (1, 1, 1)
    gc.collect()  # what its loop will never run


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("form", ["middleware", "one_node"])
def test_a_call_that_is_cancelled_while_it_queues_for_a_thread_does_not_run(make: Any, form: str) -> None:
    payment, occupied = Payment(), threading.Event()
    scene = make(form, payment)

    async def cancelled() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        occupying = loop.run_in_executor(None, occupied.wait, 20)
        run = scene.begin(scene.graph(), GO)
        await until(lambda: waiting_threads(loop))
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run
        occupied.set()
        await occupying

    try:
        play(payment, cancelled)
    finally:
        occupied.set()
    assert payment.settled_once == (0, 0, 0)


def waiting_threads(loop: asyncio.AbstractEventLoop) -> int:
    executor: Any = loop
    return int(executor._default_executor._work_queue.qsize())


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("form", ["middleware", "one_node"])
def test_async_code_that_does_not_let_itself_be_cancelled_holds_up_no_timeout(make: Any, form: str) -> None:
    payment, go_on = Payment(), threading.Event()

    async def stubborn(i: int) -> str:
        """Pays, whatever happens."""
        while not go_on.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)
        return "paid after all"

    scene = make(form, payment, [tool("work")(stubborn)])

    async def timed_out() -> Any:
        with pytest.raises(CallTimedOut):
            await scene.begin(scene.graph(cause="call timeout"), GO)
        run = scene.begin(scene.graph(), None)
        await scene.joined(run)
        go_on.set()
        return await run

    assert answers(play(payment, timed_out)) == [("a", "paid after all")]


async def gives_up(request: Any, execute: Any) -> Any:
    """A wrapper with a timeout of its own around the tool."""
    return await asyncio.wait_for(execute(request), SOON)


@pytest.mark.parametrize("talk", ["async"], indirect=True)
@pytest.mark.parametrize("policy", ["reconciler", "default"])
def test_a_thread_that_a_wrapper_gave_up_waiting_for_holds_its_call_until_it_ends(
    make: Any, policy: str
) -> None:
    """The failure of the wrapper is what came of the call, and crashed the run: its policy is applied, but not before."""
    payment = Payment()
    scene = make("one_node", payment)

    async def resumed() -> Any:
        with pytest.raises(asyncio.TimeoutError):
            await scene.begin(scene.graph(policy, awrap_tool_call=gives_up), GO)
        run = scene.begin(scene.graph(policy), None)
        await scene.joined(run)
        assert payment.settled_once == (1, 0, 0)
        payment.go_on.set()
        return await run

    said = "paid, says the reconciler" if policy == "reconciler" else "paid by thread 2"
    assert answers(play(payment, resumed)) == [("a", said)]
    assert payment.settled_once == ((1, 1, 1) if policy == "reconciler" else (2, 2, 0))


@pytest.mark.parametrize("talk", ["async"], indirect=True)
def test_what_a_wrapper_answers_for_a_thread_that_it_gave_up_is_the_answer_at_once(make: Any) -> None:
    payment = Payment()
    scene = make("one_node", payment)

    async def answers_for_it(request: Any, execute: Any) -> Any:
        try:
            return await gives_up(request, execute)
        except asyncio.TimeoutError:
            return ToolMessage("still busy", tool_call_id=request.tool_call["id"])

    async def answered() -> Any:
        return await scene.begin(scene.graph(awrap_tool_call=answers_for_it), GO)

    assert answers(play(payment, answered)) == [("a", "still busy")]
    assert payment.over.wait(20)
    assert payment.settled_once == (1, 1, 0)
