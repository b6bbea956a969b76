"""When asked, the stream shows what happens to the run's calls: without values, each run its own."""

from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.agent.workflow.workflow_events import ToolCallResult

from toolslot import current_call
from toolslot_llamaindex import ToolslotEvent


def own(events: list[Any]) -> list[ToolslotEvent]:
    return [event for event in events if isinstance(event, ToolslotEvent)]


async def pay(i: int) -> str:
    """Pays."""
    return f"secret {i}"


def test_events_are_not_streamed_unless_asked_for(talk: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")
    assert own(talk.stream(talk.agent([pay]))[1]) == []


def test_every_event_of_a_call_is_streamed_and_the_end_of_its_batch(talk: Any) -> None:
    talk.script([("pay", {"i": 1}, "c1"), ("pay", {"i": 2}, "c2")], "done")
    found = own(talk.stream(talk.agent([pay], stream_events=True))[1])
    for index in range(2):
        mine = [event for event in found if event.get("index", None) == index]
        assert [event.event for event in mine] == ["reserved", "started", "finished"]
        assert {(e.tool, e.tool_call_id, e.run_id) for e in mine} == {("pay", f"c{index + 1}", "r-1")}
        assert mine[-1].latency >= 0
    assert [len(event.calls) for event in found if event.event == "batch"] == [2, 0]
    assert "secret" not in "".join(event.model_dump_json() for event in found)


def test_the_results_in_the_stream_are_those_that_the_agent_is_given(talk: Any) -> None:
    """As without toolslot: one event, not two that look the same."""
    given: list[Any] = []

    class Noting(FunctionAgent):
        async def handle_tool_call_results(self, ctx: Any, results: Any, memory: Any) -> None:
            given.extend(results)
            await super().handle_tool_call_results(ctx, results, memory)

    talk.script([("pay", {"i": 1}), ("pay", {"i": 2})], "done")
    for _ in range(2):  # made, and replayed
        given.clear()
        _, events = talk.stream(talk.wrap(Noting(tools=[pay], llm=talk.llm)))
        streamed = [event for event in events if isinstance(event, ToolCallResult)]
        assert {id(event) for event in streamed} == {id(event) for event in given}
        assert [event.tool_output.content for event in given] == ["secret 1", "secret 2"]


def test_run_again_the_stream_tells_of_replays(talk: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")
    talk.stream(talk.agent([pay]))
    found = own(talk.stream(talk.agent([pay], stream_events=True))[1])
    assert [event.event for event in found if event.event != "batch"] == ["replayed"]


def test_the_hooks_given_are_told_as_well(talk: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")
    talk.stream(talk.agent([pay], stream_events=True))
    assert len(talk.world.events.all) > 3


def test_an_agent_inside_a_tool_writes_to_its_own_stream_alone(talk: Any) -> None:
    inner_llm = talk.script([("pay", {"i": 1})], "inner done")
    inner = talk.agent([pay], stream_events=True)
    seen: list[ToolslotEvent] = []

    async def ask() -> str:
        """Asks another agent."""
        handler = inner.run(user_msg="go", run_id=current_call().idempotency_key)
        seen.extend(own([event async for event in handler.stream_events()]))
        return str(await handler)

    talk.script([("ask", {})], "done")
    found = own(talk.stream(talk.agent([ask], stream_events=True))[1])
    assert {event.run_id for event in found} == {"r-1"}
    assert {event.get("tool", None) for event in seen} == {"pay", None}
    assert inner_llm.asked == 2
