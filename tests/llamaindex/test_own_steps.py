"""Steps that the user's class overrides: what `@step` says there holds for the durable agent too, with and without a run id."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.agent.workflow.workflow_events import (
    AgentInput,
    AgentOutput,
    AgentSetup,
    AgentWorkflowStartEvent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.tools import ToolOutput
from llama_index.core.workflow import Context, Event, StopEvent
from workflows.decorators import step
from workflows.resource import Resource
from workflows.retry_policy import retry_policy, stop_after_attempt, wait_fixed

from support.harness import Peak
from toolslot import InvalidSetting, ToolPolicy
from toolslot_llamaindex import durable
from toolslot_llamaindex._steps import events_of
from toolslot_llamaindex._values import ValueCodec

RETRY = retry_policy(wait=wait_fixed(0), stop=stop_after_attempt(3))
run_ids = pytest.mark.parametrize("run_id", ["r-1", None], ids=["with a run id", "without"])
noted: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_noted() -> None:
    noted.clear()


async def pay(i: int) -> str:
    """Pays."""
    noted.append(f"paid {i}")
    return f"paid {i}"


def away(name: str) -> None:
    """Fails twice for each name."""
    noted.append(name)
    if noted.count(name) < 3:
        raise ConnectionError("away")


class TryingCalls(FunctionAgent):
    @step(retry_policy=RETRY)
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult:
        if ev.tool_kwargs["i"] == 1:
            away("call")
        return await super().call_tool(ctx, ev)


class TryingTheModel(FunctionAgent):
    @step(retry_policy=RETRY)
    async def run_agent_step(self, ctx: Context, ev: AgentSetup) -> AgentOutput:
        away("model")
        return await super().run_agent_step(ctx, ev)


class TryingTheStart(FunctionAgent):
    @step(retry_policy=RETRY)
    async def init_run(self, ctx: Context, ev: AgentWorkflowStartEvent) -> AgentInput:
        away("start")
        return await super().init_run(ctx, ev)


class TryingTheAnswer(FunctionAgent):
    @step(retry_policy=RETRY)
    async def parse_agent_output(
        self, ctx: Context, ev: AgentOutput
    ) -> StopEvent | AgentInput | ToolCall | None:
        away("answer")
        return await super().parse_agent_output(ctx, ev)


class TryingTheResults(FunctionAgent):
    @step(retry_policy=RETRY, num_workers=1)
    async def aggregate_tool_results(self, ctx: Context, ev: ToolCallResult) -> AgentInput | StopEvent | None:
        found = await super().aggregate_tool_results(ctx, ev)
        if found is not None:
            away("results")
        return found


@run_ids
@pytest.mark.parametrize(
    "agent", [TryingCalls, TryingTheModel, TryingTheStart, TryingTheAnswer, TryingTheResults]
)
def test_the_retry_policy_of_a_step_holds(talk: Any, agent: Any, run_id: Any) -> None:
    def ended(wrap: Any, run_id: Any) -> tuple[str, list[Any]]:
        noted.clear()
        talk.script([("pay", {"i": 1}), ("pay", {"i": 2})], "done")
        return str(talk.run(wrap(agent(tools=[pay], llm=talk.llm)), run_id=run_id)), sorted(noted)

    assert ended(talk.wrap, run_id) == ended(lambda plain: plain, None)


def test_a_call_that_is_tried_again_by_its_step_follows_its_policy(talk: Any) -> None:
    """A failure may have come after the effect: with `ask` the step is entered again and the tool is not."""

    class Paying(FunctionAgent):
        @step(retry_policy=RETRY)
        async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult:
            await super().call_tool(ctx, ev)
            away("after")
            raise AssertionError("a person has answered by now")

    talk.script([("pay", {"i": 1})], "done")
    agent = talk.wrap(
        Paying(tools=[pay], llm=talk.llm), policies={"pay": ToolPolicy(on_unknown="ask", reconcile=None)}
    )
    talk.stream(agent, answers=[{"done": "paid 1"}])
    assert noted == ["paid 1", "after"]
    assert talk.heard() == ["paid 1"]


class Approval(Event):
    """Asks whether a call may be made."""

    call: str
    i: int


class Approving(FunctionAgent):
    """A call above 1 goes a way of its own, through a step of the user's."""

    @step
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult | Approval:
        if ev.tool_kwargs["i"] == 1:
            return await super().call_tool(ctx, ev)
        noted.append("looked up")
        await ctx.store.set("looked_up", True)
        return Approval(call=ev.tool_id, i=ev.tool_kwargs["i"], why="it is much")

    @step
    async def approve(self, ctx: Context, ev: Approval) -> ToolCallResult:
        assert ev.get("why") == "it is much"
        output = ToolOutput(
            content=f"approved {ev.i}", tool_name="pay", raw_input={"i": ev.i}, raw_output=None
        )
        return ToolCallResult(
            tool_name="pay", tool_kwargs={"i": ev.i}, tool_id=ev.call, tool_output=output, return_direct=False
        )


@run_ids
def test_an_event_that_a_step_returns_in_place_of_a_result_reaches_its_own_step(
    talk: Any, run_id: Any
) -> None:
    talk.script([("pay", {"i": 1}), ("pay", {"i": 2})], "done")
    talk.run(talk.wrap(Approving(tools=[pay], llm=talk.llm)), run_id=run_id)
    assert sorted(talk.heard()) == ["approved 2", "paid 1"]
    assert sorted(noted) == ["looked up", "paid 1"]


def test_such_an_event_is_recorded_and_replays_as_a_result_does(talk: Any) -> None:
    talk.script([("pay", {"i": 1}), ("pay", {"i": 2})], "done")

    async def main() -> bool:
        handler = talk.wrap(Approving(tools=[pay], llm=talk.llm)).run(user_msg="go", run_id="r-1")
        await handler
        found: bool = await handler.ctx.store.get("looked_up")
        return found

    assert [asyncio.run(main()) for _ in range(2)] == [True, True]
    assert sorted(noted) == ["looked up", "paid 1"]
    assert sorted(talk.heard()) == ["approved 2", "paid 1"]


class Stopping(FunctionAgent):
    @step
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult | StopEvent:
        await super().call_tool(ctx, ev)
        return StopEvent(result="stopped")


@run_ids
def test_a_step_may_end_the_run(talk: Any, run_id: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")
    for _ in range(2):
        assert talk.run(talk.wrap(Stopping(tools=[pay], llm=talk.llm)), run_id=run_id) == "stopped"
    assert noted == ["paid 1"] * (1 if run_id else 2)


class Sending(FunctionAgent):
    @step
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult | None:
        ctx.send_event(await super().call_tool(ctx, ev))
        return None


@run_ids
def test_a_step_may_send_its_result_instead_of_returning_it(talk: Any, run_id: Any) -> None:
    talk.script([("pay", {"i": 1}), ("pay", {"i": 2})], "done")
    for _ in range(2):
        talk.run(talk.wrap(Sending(tools=[pay], llm=talk.llm)), run_id=run_id)
        assert talk.heard() == ["paid 1", "paid 2"]
    assert len(noted) == (2 if run_id else 4)


def test_a_call_whose_step_gives_nothing_is_refused_and_not_waited_for(talk: Any) -> None:
    class Silent(FunctionAgent):
        @step
        async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult | None:
            return None

    talk.script([("pay", {"i": 1})], "done")
    with pytest.raises(Exception, match="has returned a NoneType for 'pay'"):
        talk.run(talk.wrap(Silent(tools=[pay], llm=talk.llm)))


def connect() -> str:
    return "connected"


class Injected(FunctionAgent):
    @step
    async def call_tool(
        self, ctx: Context, ev: ToolCall, bank: Annotated[str, Resource(connect)]
    ) -> ToolCallResult:
        noted.append(bank)
        return await super().call_tool(ctx, ev)

    @step
    async def aggregate_tool_results(
        self, ctx: Context, ev: ToolCallResult, bank: Annotated[str, Resource(connect)]
    ) -> AgentInput | StopEvent | None:
        noted.append(bank)
        return await super().aggregate_tool_results(ctx, ev)


@run_ids
def test_resources_are_injected(talk: Any, run_id: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")
    assert str(talk.run(talk.wrap(Injected(tools=[pay], llm=talk.llm)), run_id=run_id)) == "done"
    assert noted == ["connected", "paid 1", "connected"]


class Contextless(FunctionAgent):
    @step
    async def call_tool(self, ev: ToolCall) -> ToolCallResult:
        output = ToolOutput(content="of its own", tool_name="pay", raw_input={}, raw_output=None)
        return ToolCallResult(
            tool_name="pay",
            tool_kwargs=ev.tool_kwargs,
            tool_id=ev.tool_id,
            tool_output=output,
            return_direct=False,
        )


@run_ids
def test_a_step_needs_no_context(talk: Any, run_id: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")
    for _ in range(2):
        assert str(talk.run(talk.wrap(Contextless(tools=[pay], llm=talk.llm)), run_id=run_id)) == "done"
        assert talk.heard() == ["of its own"]


class OneByOne(FunctionAgent):
    @step(num_workers=1)
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult:
        return await super().call_tool(ctx, ev)


class Six(FunctionAgent):
    @step(num_workers=6)
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult:
        return await super().call_tool(ctx, ev)


@run_ids
@pytest.mark.parametrize(("agent", "peak"), [(OneByOne, 1), (Six, 6)])
def test_the_workers_of_the_step_are_how_many_calls_run_at_once(
    talk: Any, agent: Any, peak: int, run_id: Any
) -> None:
    at_once = Peak()

    async def work(i: int) -> str:
        """Works."""
        with at_once:
            for _ in range(50):
                await asyncio.sleep(0.001)
        return str(i)

    talk.script([("work", {"i": i}) for i in range(9)], "done")
    talk.run(talk.wrap(agent(tools=[work], llm=talk.llm)), run_id=run_id)
    assert at_once.peak == peak


def test_the_workers_of_another_step_are_kept(talk: Any) -> None:
    class Busy(FunctionAgent):
        @step(num_workers=7)
        async def run_agent_step(self, ctx: Context, ev: AgentSetup) -> AgentOutput:
            return await super().run_agent_step(ctx, ev)

    steps = talk.wrap(Busy(tools=[pay], llm=talk.llm))._step_configs()
    assert steps["run_agent_step"].num_workers == 7


def test_a_step_that_takes_several_results_at_once_is_refused(talk: Any) -> None:
    class Gathering(FunctionAgent):
        @step
        async def aggregate_tool_results(
            self, ctx: Context, ev: list[ToolCallResult]
        ) -> AgentInput | StopEvent | None:
            return None

    with pytest.raises(InvalidSetting, match=r"Gathering\.aggregate_tool_results collects several events"):
        durable(Gathering(tools=[pay], llm=talk.llm))


class TryingFlow(AgentWorkflow):
    @step(retry_policy=RETRY)
    async def call_tool(self, ctx: Context, ev: ToolCall) -> ToolCallResult:
        away("call")
        return await super().call_tool(ctx, ev)


@run_ids
def test_a_workflow_of_agents_keeps_what_its_steps_say_too(talk: Any, run_id: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")
    flow = TryingFlow(agents=[talk.plain([pay])], root_agent="Agent")
    assert str(talk.run(talk.wrap(flow), run_id=run_id)) == "done"
    assert noted == ["call", "call", "call", "paid 1"]


def test_an_event_of_the_users_own_is_made_again_without_its_constructor() -> None:
    ran: list[int] = []

    class Approval(Event):
        n: int

        def __init__(self, **fields: Any) -> None:
            ran.append(1)
            super().__init__(**fields)

    asked: Any = type("Asked", (FunctionAgent,), {})
    config = replace(FunctionAgent.call_tool._step_config, return_types=[Approval])  # type: ignore[attr-defined]
    asked.call_tool = SimpleNamespace(_step_config=config)
    codec = ValueCodec.of(events_of(asked))
    data = codec.encode(Approval(n=1, more=2))
    ran.clear()
    found = codec.decode(data)
    assert (type(found), found.n, found.get("more"), ran) == (Approval, 1, 2, [])
