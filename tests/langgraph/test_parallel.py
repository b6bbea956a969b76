"""How many calls run at once, and that none is cancelled, detached or lost."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime

from support.harness import World
from toolslot import EventKind, Limits, SlotState, ToolPolicy
from toolslot_langgraph import DurableParallelToolNode


class Gauge:
    """Tools that tell how many of them run at once. Sync ones meet at a barrier of `meet`, async ones at an event."""

    def __init__(self, meet: int = 1, *, asynchronous: bool) -> None:
        self.now = self.peak = self.waiting = 0
        self.lock = threading.Lock()
        self.barrier = threading.Barrier(meet)
        gauge = self

        def enter() -> None:
            with gauge.lock:
                gauge.now += 1
                gauge.peak = max(gauge.peak, gauge.now)

        def leave() -> None:
            with gauge.lock:
                gauge.now -= 1

        def work(i: int) -> str:
            """Works."""
            enter()
            gauge.barrier.wait(20)
            leave()
            return str(i)

        async def awork(i: int) -> str:
            """Works."""
            enter()
            gauge.waiting += 1
            if gauge.waiting % meet == 0:
                met.set()
            await asyncio.wait_for(met.wait(), 20)
            for _ in range(5):
                await asyncio.sleep(0)
            leave()
            return str(i)

        met = asyncio.Event()
        self.tool = tool("work")(awork if asynchronous else work)


@pytest.mark.parametrize("given", [None, 16, 40])
def test_sixteen_calls_that_meet_at_a_barrier_all_run_at_once(
    talk: Any, ask: Any, said: Any, given: int | None
) -> None:
    talk.calls = ask("work", 16)
    gauge = Gauge(16, asynchronous=talk.asynchronous)
    settings = {} if given is None else {"max_concurrency": given}
    assert said(talk.start(talk.graph([gauge.tool]), **settings)) == [str(i) for i in range(16)]
    assert gauge.peak == 16


@pytest.mark.parametrize("how", ["limit", "host", "tool", "policy"])
def test_with_a_limit_of_four_never_more_than_four_run(talk: Any, ask: Any, said: Any, how: str) -> None:
    talk.calls = ask("work", 16)
    gauge = Gauge(4, asynchronous=talk.asynchronous)
    settings: dict[str, Any] = {
        "limit": {"limits": Limits(batch=4)},
        "tool": {"limits": Limits(tools={"work": 4})},
        "policy": {"policies": {"work": ToolPolicy(max_parallel=4)}},
        "host": {},
    }[how]
    config = {"max_concurrency": 4} if how == "host" else {}
    assert len(said(talk.start(talk.graph([gauge.tool], **settings), **config))) == 16
    assert gauge.peak == 4


def test_without_a_batch_limit_all_of_a_hundred_may_run(talk: Any, ask: Any, said: Any) -> None:
    talk.calls = ask("work", 100)
    gauge = Gauge(100, asynchronous=talk.asynchronous)
    assert len(said(talk.start(talk.graph([gauge.tool], limits=Limits(batch=None))))) == 100


@pytest.mark.parametrize("host", [None, 4])
def test_a_tool_sees_the_hosts_own_limit_in_its_config(talk: Any, ask: Any, host: int | None) -> None:
    seen: list[Any] = []

    def body(i: int, config: Any) -> str:
        """Looks at its config."""
        seen.append(config.get("max_concurrency"))
        return ""

    body.__annotations__["config"] = RunnableConfig
    talk.calls = ask("body", 3)
    talk.start(talk.graph([tool(body)], limits=Limits(batch=2)), max_concurrency=host)
    assert seen == [host] * 3


def test_case_12_async_siblings_of_a_call_that_raises_finish_and_are_recorded() -> None:
    world, order = World(), []

    async def main() -> None:
        failed = asyncio.Event()

        @tool
        async def work(i: int) -> str:
            """The first raises; the others finish after it."""
            if i == 0:
                failed.set()
                raise ValueError("first")
            await failed.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            order.append(i)
            return str(i)

        graph = conversation(world, work, 4)
        with pytest.raises(ValueError, match="first"):
            await graph.ainvoke({"messages": []}, THREAD)
        assert sorted(order) == [1, 2, 3], "nothing runs on detached"

    asyncio.run(main())
    assert states(world) == [SlotState.FAILED, *[SlotState.SUCCEEDED] * 3]


def test_siblings_that_wait_for_a_thread_run_although_an_earlier_call_raised() -> None:
    world, ran = World(), []

    @tool
    def work(i: int) -> str:
        """The first raises at once."""
        ran.append(i)
        if i == 0:
            raise ValueError("first")
        return str(i)

    with pytest.raises(ValueError, match="first"):
        conversation(world, work, 20).invoke({"messages": []}, {**THREAD, "max_concurrency": 1})
    assert ran == list(range(20))


def test_a_system_exit_in_a_tool_lets_its_siblings_finish_first() -> None:
    world, ran = World(), []

    @tool
    def work(i: int) -> str:
        """The first wants to leave."""
        if i == 0:
            raise SystemExit(3)
        ran.append(i)
        return str(i)

    with pytest.raises(SystemExit):
        conversation(world, work, 10).invoke({"messages": []}, {**THREAD, "max_concurrency": 2})
    assert len(ran) == 9


def test_a_tool_that_cancels_itself_leaves_its_siblings_alone() -> None:
    world, done = World(), []

    async def main() -> None:
        gone = asyncio.Event()

        @tool
        async def work(i: int) -> str:
            """The first ends by a cancellation of its own."""
            if i == 0:
                gone.set()
                raise asyncio.CancelledError
            await gone.wait()
            for _ in range(20):
                await asyncio.sleep(0)
            done.append(i)
            return str(i)

        with pytest.raises(BaseException) as caught:
            await conversation(world, work, 4).ainvoke({"messages": []}, THREAD)
        assert "Cancelled" in type(caught.value).__name__
        assert sorted(done) == [1, 2, 3]

    asyncio.run(main())
    assert states(world) == [SlotState.UNKNOWN, *[SlotState.SUCCEEDED] * 3]


def test_a_cancelled_run_leaves_running_calls_unknown_and_waiting_ones_reserved() -> None:
    world = World()

    async def main() -> None:
        inside, entered = asyncio.Event(), []

        @tool
        async def work(i: int) -> str:
            """Hangs."""
            entered.append(i)
            if len(entered) == 2:
                inside.set()
            await asyncio.Event().wait()
            return ""

        graph = conversation(world, work, 6, limits=Limits(batch=2))
        run = asyncio.ensure_future(graph.ainvoke({"messages": []}, THREAD))
        await inside.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(main())
    assert states(world) == [SlotState.UNKNOWN] * 2 + [SlotState.RESERVED] * 4


def test_a_cancelled_run_ends_when_all_its_calls_have_ended() -> None:
    world, ended = World(), []

    async def main() -> None:
        inside: list[int] = []
        both = asyncio.Event()

        @tool
        async def work(i: int) -> str:
            """Takes some time to stop."""
            inside.append(i)
            if len(inside) == 2:
                both.set()
            try:
                await asyncio.Event().wait()
            finally:
                for _ in range(20 * i):
                    await asyncio.sleep(0)
                ended.append(i)
            return ""

        node = DurableParallelToolNode([work], journal=world.executor().journal)
        calls = [{"name": "work", "args": {"i": i}, "id": f"c{i}"} for i in range(2)]
        config: Any = {"configurable": {"__pregel_runtime": Runtime(), "durable_run_key": "r"}}
        run = asyncio.ensure_future(node.ainvoke([AIMessage("", tool_calls=calls)], config))
        await both.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert ended == [0, 1]

    asyncio.run(main())
    assert states(world) == [SlotState.UNKNOWN] * 2


def test_a_tool_that_opens_a_batch_of_its_own_does_not_dead_lock_with_all_limits_at_one(
    talk: Any, said: Any
) -> None:
    @tool
    def leaf(i: int) -> str:
        """Works."""
        return f"leaf {i}"

    inner = talk.__class__(
        asynchronous=talk.asynchronous, world=talk.world, config={"configurable": {"thread_id": "inner"}}
    )
    inner.calls = [{"name": "leaf", "args": {"i": i}, "id": f"l{i}"} for i in range(3)]
    limits = Limits(batch=1, process=1, tools={"leaf": 1, "agent": 1})
    agents = inner.graph([leaf], limits=limits)

    def run(k: int) -> str:
        """Runs an agent."""
        return ",".join(said(agents.invoke({"messages": []}, {"configurable": {"thread_id": f"inner-{k}"}})))

    async def arun(k: int) -> str:
        """Runs an agent."""
        return ",".join(
            said(await agents.ainvoke({"messages": []}, {"configurable": {"thread_id": f"inner-{k}"}}))
        )

    agent = tool("agent")(arun if talk.asynchronous else run)
    talk.calls = [{"name": "agent", "args": {"k": k}, "id": f"a{k}"} for k in range(3)]
    assert said(talk.start(talk.graph([agent], limits=limits))) == ["leaf 0,leaf 1,leaf 2"] * 3


def test_a_timeout_is_an_error_now_and_a_question_of_policy_later(talk: Any, ask: Any) -> None:
    release = threading.Event()

    def work(i: int) -> str:
        """Hangs."""
        release.wait(20)
        return ""

    async def awork(i: int) -> str:
        """Hangs."""
        await asyncio.Event().wait()
        return ""

    talk.calls = ask("work", 2)
    graph = talk.graph(
        [tool("work")(awork if talk.asynchronous else work)], policies={"work": ToolPolicy(timeout=0.02)}
    )
    with pytest.raises(Exception, match="did not return within"):
        talk.start(graph)
    assert states(talk.world) == [SlotState.UNKNOWN] * 2
    assert len(talk.world.events.calls(EventKind.TIMED_OUT)) == 2
    release.set()


def test_a_timeout_becomes_an_answer_when_tool_errors_are_handled(talk: Any, ask: Any) -> None:
    release = threading.Event()

    def work(i: int) -> str:
        """Hangs."""
        release.wait(20)
        return ""

    async def awork(i: int) -> str:
        """Hangs."""
        await asyncio.Event().wait()
        return ""

    talk.calls = ask("work", 1)
    policies = {"work": ToolPolicy(timeout=0.02)}
    graph = talk.graph(
        [tool("work")(awork if talk.asynchronous else work)], policies=policies, handle_tool_errors=True
    )
    message = talk.start(graph)["messages"][-1]
    release.set()
    assert message.status == "error"
    assert "did not return within" in message.content


THREAD: Any = {"configurable": {"thread_id": "t-1"}}


def conversation(world: Any, work: Any, count: int, **settings: Any) -> Any:
    calls = [{"name": "work", "args": {"i": i}, "id": f"c{i}"} for i in range(count)]
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=calls)]})
    graph.add_node(
        "tools",
        DurableParallelToolNode([work], journal=world.executor().journal, hooks=[world.events], **settings),
    )
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    return graph.compile(checkpointer=InMemorySaver())


def states(world: Any) -> list[SlotState]:
    (state,) = world.store.batches.values()
    return [slot.state for slot in state.slots()]
