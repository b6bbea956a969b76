"""Sync tools run in threads, and a thread cannot be stopped: it runs on when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.tools.types import BaseTool, adapt_to_async_tool

from toolslot import EventKind, ToolPolicy


async def until(told: threading.Event) -> None:
    assert await asyncio.to_thread(told.wait, 10)


async def cancelled(handler: Any) -> None:
    await handler.cancel_run()
    with suppress(Exception, asyncio.CancelledError):
        await handler


class Pay(BaseTool):
    """A tool that is no FunctionTool."""

    def __init__(self, fn: Any) -> None:
        self.fn = fn

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata(name="pay", description="Pays.")

    def __call__(self, input: Any) -> ToolOutput:
        return ToolOutput(content=self.fn(), tool_name="pay", raw_input={"input": input}, raw_output=None)


def function_tool(fn: Any) -> Any:
    def pay(input: str) -> Any:
        return fn()

    return FunctionTool.from_defaults(fn=pay, description="Pays.")


def other_tool(fn: Any) -> Any:
    return adapt_to_async_tool(Pay(fn))


@pytest.mark.parametrize("make", [function_tool, other_tool])
def test_a_run_that_goes_on_waits_for_the_thread_of_a_cancelled_call_and_takes_its_result(
    talk: Any, make: Any
) -> None:
    entered, release = threading.Event(), threading.Event()

    def pay() -> str:
        entered.set()
        assert release.wait(10)
        talk.effects.append("pay")
        return "paid"

    async def main() -> None:
        agent = talk.agent([make(pay)])
        handler = agent.run(user_msg="go", run_id="r-1")
        await until(entered)
        await cancelled(handler)
        again = agent.run(user_msg="go", run_id="r-1")
        await asyncio.sleep(0.1)  # long enough for a second payment to begin, were one made
        release.set()
        assert str(await again) == "done"

    talk.script([("pay", {"input": "1"})], "done")
    try:
        asyncio.run(main())
    finally:
        release.set()
    assert talk.effects == ["pay"]
    assert talk.heard() == ["paid"]


def test_a_result_that_comes_after_the_loop_was_told_to_end_is_recorded(talk: Any) -> None:
    entered, release = threading.Event(), threading.Event()

    def pay() -> str:
        """Pays."""
        entered.set()
        assert release.wait(10)
        talk.effects.append("pay")
        return "paid"

    async def main(agent: Any) -> None:
        handler = agent.run(user_msg="go", run_id="r-1")
        await until(entered)
        await cancelled(handler)
        threading.Timer(0.05, release.set).start()

    talk.script([("pay", {})], "done")
    agent = talk.agent([pay])
    asyncio.run(main(agent))
    assert str(talk.run(agent)) == "done"
    assert talk.effects == ["pay"]
    assert talk.heard() == ["paid"]


def test_what_a_thread_returns_after_its_time_is_kept_and_the_model_is_told_the_same_on_replay(
    talk: Any,
) -> None:
    release = threading.Event()

    def pay() -> str:
        """Pays."""
        assert release.wait(10)
        talk.effects.append("pay")
        return "paid"

    async def main(agent: Any) -> None:
        assert str(await agent.run(user_msg="go", run_id="r-1")) == "done"
        assert not talk.effects
        release.set()

    talk.script([("pay", {})], "done")
    policies = {"pay": ToolPolicy(timeout=0.02)}
    agent = talk.agent([pay], policies=policies)
    try:
        asyncio.run(main(agent))
    finally:
        release.set()
    told = talk.heard()
    assert "did not return within" in told[0]
    assert EventKind.LATE_RESULT in talk.world.events.kinds(0)
    talk.script([("pay", {})], "done")
    talk.run(talk.agent([pay], policies=policies))
    assert talk.effects == ["pay"]
    assert talk.llm.asked == 0


def test_a_call_that_is_cancelled_while_it_queues_for_a_thread_does_not_run(talk: Any) -> None:
    entered, release = threading.Event(), threading.Event()

    def pay(i: int) -> str:
        """Pays."""
        talk.effects.append(f"pay {i}")
        entered.set()
        assert release.wait(10)
        return ""

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        agent = talk.agent([pay])
        handler = agent.run(user_msg="go", run_id="r-1")
        while EventKind.STARTED not in talk.world.events.kinds(1) or not entered.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await cancelled(handler)
        release.set()

    talk.script([("pay", {"i": i}) for i in range(2)], "done")
    try:
        asyncio.run(main())
    finally:
        release.set()
    assert len(talk.effects) == 1


@pytest.mark.parametrize("run_id", ["r-1", None], ids=["with a run id", "without"])
@pytest.mark.parametrize("make", [function_tool, other_tool])
def test_a_sync_tool_whose_iterator_has_ended_is_answered_and_does_not_hang(
    talk: Any, make: Any, run_id: Any
) -> None:
    """No future takes a StopIteration: the plain agent waits until the workflow's timeout, on Python before 3.12."""
    talk.script([("pay", {"input": "x"})], "done")
    agent = talk.wrap(talk.plain([make(lambda: next(iter(())))], timeout=20))
    assert str(talk.run(agent, run_id=run_id)) == "done"
    assert talk.heard() == ["the tool raised StopIteration"]
