"""What a tool or a step forwards of other agents reaches the stream when it is written, as without toolslot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.agent.workflow.workflow_events import AgentOutput, AgentStream, ToolCall
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import ToolOutput
from llama_index.core.workflow import Context

from toolslot_llamaindex._demo_agent import ScriptedLLM

SHOWN = (AgentOutput, ToolCall, ToolCallResult)


def shown(events: list[Any]) -> list[tuple[str, str]]:
    """Which events a person who looks at the stream sees, with whose they are."""
    return [
        (
            type(event).__name__,
            event.current_agent_name if isinstance(event, AgentOutput) else str(event.tool_kwargs),
        )
        for event in events
        if isinstance(event, SHOWN)
    ]


async def look(i: int) -> str:
    """Looks."""
    return f"saw {i}"


def asking(inner_llm: ScriptedLLM, *, name: str, tool: Callable[..., Any] = look) -> Callable[..., Any]:
    """A tool that asks an agent of its own and forwards all that one streams."""

    async def ask(ctx: Context, i: int) -> str:
        """Asks another agent."""
        handler = FunctionAgent(name=name, tools=[tool], llm=inner_llm).run(user_msg="go")
        async for event in handler.stream_events():
            if isinstance(event, (*SHOWN, AgentStream)):
                ctx.write_event_to_stream(event)
        return str(await handler)

    ask.__annotations__["ctx"] = Context
    return ask


@pytest.mark.parametrize("run_id", ["r-1", None], ids=["with a run id", "without"])
@pytest.mark.parametrize("name", ["Inner", "Agent"], ids=["another name", "the outer agent's name"])
def test_the_events_of_an_agent_in_a_tool_are_in_the_stream_as_with_the_plain_agent(
    talk: Any, run_id: Any, name: str
) -> None:
    inner = ScriptedLLM([[("look", {"i": 1}), ("look", {"i": 2})], "inner done"])
    talk.script([("ask", {"i": 7}, "c-1")], "done")
    ask = asking(inner, name=name)
    _, plain = talk.stream(talk.plain([ask]), run_id=None)
    _, durable = talk.stream(talk.agent([ask]), run_id=run_id)
    assert ("ToolCallResult", "{'i': 2}") in shown(plain)
    assert sorted(shown(durable)) == sorted(shown(plain))
    assert shown(durable)[-2:] == shown(plain)[-2:]


def test_an_inner_call_that_looks_like_the_outer_one_is_forwarded_too(talk: Any) -> None:
    """The same tool, arguments and call id: of a model that gives every call the name of its tool as its id."""

    async def ask(i: int) -> str:
        """The inner tool of that name."""
        return f"inner {i}"

    inner = ScriptedLLM([[("ask", {"i": 7}, "ask")], "inner done"])
    talk.script([("ask", {"i": 7}, "ask")], "done")
    _, events = talk.stream(talk.agent([asking(inner, name="Inner", tool=ask)]))
    results = [event.tool_output.content for event in events if isinstance(event, ToolCallResult)]
    assert results == ["inner 7", "inner done"]


def test_what_is_forwarded_is_seen_while_the_tool_still_runs(talk: Any) -> None:
    seen: list[str] = []

    async def ask(ctx: Context) -> str:
        """Forwards the result of another call."""
        ctx.write_event_to_stream(result("from afar"))
        while not seen:  # noqa: ASYNC110 - it is told by a list
            await asyncio.sleep(0)
        return "own"

    ask.__annotations__["ctx"] = Context
    talk.script([("ask", {})], "done")

    async def main() -> None:
        handler = talk.agent([ask]).run(user_msg="go", run_id="r-1")
        async for event in handler.stream_events():
            if isinstance(event, ToolCallResult):
                seen.append(event.tool_output.content)  # noqa: PERF401 - the tool waits for the first
        await handler

    asyncio.run(main())
    assert seen == ["from afar", "own"]


class Forwarding(FunctionAgent):
    """Streams what other agents did, in its steps."""

    async def take_step(self, ctx: Any, llm_input: Any, tools: Any, memory: Any) -> Any:
        ctx.write_event_to_stream(result("before the answer"))
        ctx.write_event_to_stream(
            AgentOutput(response=ChatMessage("inner", role="assistant"), current_agent_name="Inner")
        )
        return await super().take_step(ctx, llm_input, tools, memory)


@pytest.mark.parametrize("run_id", ["r-1", None], ids=["with a run id", "without"])
def test_the_events_of_an_agent_in_a_step_are_in_the_stream_as_with_the_plain_agent(
    talk: Any, run_id: Any
) -> None:
    talk.script([("look", {"i": 1})], "done")
    _, plain = talk.stream(Forwarding(tools=[look], llm=talk.llm), run_id=None)
    _, durable = talk.stream(talk.wrap(Forwarding(tools=[look], llm=talk.llm)), run_id=run_id)
    assert ("AgentOutput", "Inner") in shown(plain)
    assert shown(durable) == shown(plain)


def test_a_forwarded_event_does_not_come_again_when_its_call_is_replayed(talk: Any) -> None:
    inner = ScriptedLLM([[("look", {"i": 1})], "inner done"])
    talk.script([("ask", {"i": 7})], "done")
    ask = asking(inner, name="Inner")
    talk.stream(talk.agent([ask]))
    _, again = talk.stream(talk.agent([ask]))
    assert ("ToolCallResult", "{'i': 7}") in shown(again)
    assert ("ToolCallResult", "{'i': 1}") not in shown(again)


def result(text: str) -> ToolCallResult:
    return ToolCallResult(
        tool_name="far",
        tool_kwargs={},
        tool_id="far-1",
        tool_output=ToolOutput(content=text, tool_name="far", raw_input={}, raw_output=text),
        return_direct=False,
    )
