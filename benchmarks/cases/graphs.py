"""LangGraph: the node, tasks of one call each, and a whole agent, plain and durable with the same saver."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send
from measure import Options, Row, Work, compare

from toolslot import DiskJournal, Limits
from toolslot.hosting import Steps
from toolslot_langgraph import DurableParallelToolNode, make_durable
from toolslot_langgraph._barrier import Barrier

#: one mode's: the event loop it runs in, None for sync ones
Loop = asyncio.AbstractEventLoop | None


def working(seconds: float = 0.0) -> BaseTool:
    """A tool that takes `seconds`."""

    def work(i: int) -> str:
        if seconds:
            time.sleep(seconds)
        return "ok"

    async def awork(i: int) -> str:
        if seconds:
            await asyncio.sleep(seconds)
        return "ok"

    return StructuredTool.from_function(work, awork, name="work", description="Works.")


def asking(count: int) -> AIMessage:
    calls = [{"name": "work", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in range(count)]
    return AIMessage("", tool_calls=calls)


class Scripted(BaseChatModel):
    """Asks for `count` calls, then is content."""

    count: int

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        answer = AIMessage("done") if isinstance(messages[-1], ToolMessage) else asking(self.count)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages)  # no thread: it does not block


class Bench:
    """One mode's event loop, folder, savers and journal, closed together."""

    def __init__(self, mode: str) -> None:
        self.loop: Loop = asyncio.new_event_loop() if mode == "async" else None
        self._stack = AsyncExitStack()
        self._runs = 0
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.journal = DiskJournal.open(self.folder / "journal")
        self._stack.callback(self.journal.close)

    def saver(self, name: str) -> Any:
        path = str(self.folder / name)
        if self.loop is None:
            connection = sqlite3.connect(path, check_same_thread=False)
            self._stack.callback(connection.close)
            return SqliteSaver(connection)
        opened = AsyncSqliteSaver.from_conn_string(path)
        return self.loop.run_until_complete(self._stack.enter_async_context(opened))

    def runs(self, graph: Any, **options: Any) -> Work:
        """Runs of the graph, each in a thread of its own, so that none finds what another has recorded."""

        def run() -> None:
            self._runs += 1
            config: Any = {"configurable": {"thread_id": f"thread-{self._runs}"}}
            value: Any = {"messages": [("user", "go")]}
            if self.loop is None:
                graph.invoke(value, config, **options)
            else:
                self.loop.run_until_complete(graph.ainvoke(value, config, **options))

        return run

    def close(self) -> None:
        loop = self.loop or asyncio.new_event_loop()
        loop.run_until_complete(self._stack.aclose())
        loop.close()


@contextmanager
def bench(mode: str) -> Iterator[Bench]:
    made = Bench(mode)
    try:
        yield made
    finally:
        made.close()


def calling(node: Any, count: int, saver: Any) -> Any:
    """A graph that asks for `count` calls and has the node run them all in one task."""
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [asking(count)]})
    builder.add_node("tools", node)
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    return builder.compile(checkpointer=saver)


def sending(node: Any, count: int, saver: Any) -> Any:
    """The same with a task for each call."""
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [asking(count)]})
    builder.add_node("tools", node)
    builder.add_edge(START, "model")
    builder.add_conditional_edges(
        "model", lambda state: [Send("tools", [call]) for call in state["messages"][-1].tool_calls], ["tools"]
    )
    return builder.compile(checkpointer=saver)


def node(options: Options) -> Iterator[Row]:
    """100 tools that do nothing, in one task."""
    for mode, aim in (("sync", 1.6), ("async", 1.5)):
        with bench(mode) as at:
            plain = calling(ToolNode([working()]), 100, InMemorySaver())
            held = calling(DurableParallelToolNode([working()], journal=at.journal), 100, InMemorySaver())
            yield compare(
                f"node, 100 no-op tools, {mode}", at.runs(held), "ToolNode", at.runs(plain), options, aim=aim
            )


def send(options: Options) -> Iterator[Row]:
    """100 tools that do nothing, a task each."""
    with bench("sync") as at:
        plain = sending(ToolNode([working()]), 100, at.saver("plain.db"))
        held = sending(DurableParallelToolNode([working()], journal=at.journal), 100, at.saver("held.db"))
        name = "100 no-op calls, a task each (Send), SqliteSaver"
        yield compare(name, at.runs(held), "plain LangGraph", at.runs(plain), options, aim=1.3)


def agent(options: Options) -> Iterator[Row]:
    """`create_agent` through `make_durable`, 10 calls."""
    for seconds, what in ((0.0, "no-op"), (0.01, "10 ms")):
        for mode in ("sync", "async"):
            yield _agent(mode, 10, seconds, f"create_agent + SqliteSaver, 10 {what} tools, {mode}", options)


def _agent(mode: str, count: int, seconds: float, name: str, options: Options) -> Row:
    with bench(mode) as at:
        make: Callable[[str], Any] = lambda file: create_agent(  # noqa: E731
            Scripted(count=count), [working(seconds)], checkpointer=at.saver(file)
        )
        plain, held = make("plain.db"), make_durable(make("held.db"), journal=at.journal)
        return compare(name, at.runs(held), "the same, plain", at.runs(plain), options, aim=1.15)


def barrier(options: Options) -> Iterator[Row]:
    """An agent of 10 calls whose saver takes its time with every write: waiting for the model's answer to be saved, against not waiting."""
    for mode in ("sync", "async"):
        for seconds in (0.0, 0.02):
            with bench(mode) as at:
                waits, hurries = (
                    make_durable(
                        create_agent(
                            Scripted(count=10), [working()], checkpointer=slowed(at.saver(name), seconds)
                        ),
                        journal=at.journal,
                    )
                    for name in ("waits.db", "hurries.db")
                )
                unhindered(hurries)
                what = f"SqliteSaver + {seconds * 1000:.0f} ms a write, barrier, {mode}"
                yield compare(what, at.runs(waits), "without it", at.runs(hurries), options)


def slowed(saver: Any, seconds: float) -> Any:
    """The saver, which takes `seconds` more for each checkpoint."""
    put, aput = saver.put, saver.aput

    def slow_put(*args: Any) -> Any:
        time.sleep(seconds)
        return put(*args)

    async def slow_aput(*args: Any) -> Any:
        await asyncio.sleep(seconds)
        return await aput(*args)

    if seconds:
        saver.put, saver.aput = slow_put, slow_aput
    return saver


class Open(Barrier):
    """Lets everything pass."""

    def passing(self, *, awaits: bool) -> Steps[None]:
        yield from ()


def unhindered(agent: Any) -> None:
    """Take the barrier away, for comparison."""
    node: Any = agent.nodes["tools"].bound
    place = node._barrier

    def opened(*args: Any) -> Barrier:
        made = place(*args)
        made.__class__ = Open
        return made  # type: ignore[no-any-return]

    node._barrier = opened


def sixteen(mode: str) -> tuple[Work, Bench]:
    """A node's run of 16 tools of 50 ms, all at once."""
    made = Bench(mode)
    held = DurableParallelToolNode([working(0.05)], journal=made.journal, limits=Limits(batch=None))
    return made.runs(calling(held, 16, InMemorySaver())), made
