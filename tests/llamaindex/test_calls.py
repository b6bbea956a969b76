"""Parallel calls of one answer: order, limits, kinds of tools, errors, state."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from llama_index.core.agent.workflow import ToolCallResult
from llama_index.core.agent.workflow.workflow_events import AgentOutput, ToolCall
from llama_index.core.base.response.schema import Response
from llama_index.core.objects import ObjectRetriever
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import (
    AsyncBaseTool,
    FunctionTool,
    QueryEngineTool,
    ToolMetadata,
    ToolOutput,
)
from llama_index.core.workflow import Context

from support.harness import Peak
from toolslot import BatchKey, InvalidSetting, Limits, Retry, ToolPolicy, current_call
from toolslot_llamaindex import durable


def test_results_reach_the_model_in_the_models_order(talk: Any) -> None:
    done: list[int] = []

    async def work(i: int) -> str:
        """Works."""
        while len(done) < 2 - i:  # noqa: ASYNC110 - it is told by a list
            await asyncio.sleep(0)
        done.append(i)
        return str(i)

    talk.script([("work", {"i": i}) for i in range(3)], "done")
    talk.run(talk.agent([work]))
    assert done == [2, 1, 0]
    assert talk.heard() == ["0", "1", "2"]


@pytest.mark.parametrize(("given", "peak"), [(None, 4), (1, 1), (7, 7)])
def test_max_parallel_says_how_many_calls_of_an_answer_run_at_once(talk: Any, given: Any, peak: int) -> None:
    at_once = Peak()

    async def work(i: int) -> str:
        """Works."""
        with at_once:
            for _ in range(50):
                await asyncio.sleep(0.001)
        return str(i)

    talk.script([("work", {"i": i}) for i in range(9)], "done")
    talk.run(talk.agent([work], max_parallel=given))
    assert at_once.peak == peak


def test_the_limits_of_a_tool_hold_and_do_not_hold_up_other_tools(talk: Any) -> None:
    ended: list[str] = []
    other = asyncio.Event()

    async def one() -> str:
        """At most one."""
        await other.wait()
        ended.append("one")
        return ""

    async def free() -> str:
        """Not limited."""
        ended.append("free")
        other.set()
        return ""

    talk.script([*[("one", {})] * 4, ("free", {})], "done")
    talk.run(talk.agent([one, free], limits=Limits(tools={"one": 1}), max_parallel=None))
    assert ended == ["free", *["one"] * 4]


def test_sync_tools_run_in_threads_and_know_their_call(talk: Any) -> None:
    keys: list[str] = []

    def work(i: int) -> str:
        """Works."""
        time.sleep(0.01)
        keys.append(current_call().idempotency_key)
        return str(i)

    talk.script([("work", {"i": i}) for i in range(3)], "done")
    talk.run(talk.agent([work]))
    assert len(set(keys)) == 3


def test_two_identical_calls_with_one_id_both_run_and_both_are_answered(talk: Any) -> None:
    async def work() -> str:
        """Works."""
        talk.effects.append("work")
        return f"{len(talk.effects)}"

    talk.script([("work", {}, "work"), ("work", {}, "work")], "done")
    for _ in range(2):
        talk.run(talk.agent([work]))
    assert talk.effects == ["work", "work"]
    assert sorted(talk.heard()) == ["1", "2"]


def test_what_a_tool_writes_into_the_state_is_there_again_after_a_replay(talk: Any) -> None:
    async def work(ctx: Context, i: int) -> str:
        """Works."""
        async with ctx.store.edit_state() as state:
            state["seen"] = [*state.get("seen", []), i]
        await ctx.store.set("last", {"i": i})
        return ""

    work.__annotations__["ctx"] = Context  # as text, LlamaIndex does not know it

    async def main(agent: Any) -> Any:
        handler = agent.run(user_msg="go", run_id="r-1")
        await handler
        return await handler.ctx.store.get("seen"), await handler.ctx.store.get("last")

    talk.script([("work", {"i": 1})], [("work", {"i": 2})], "done")
    assert [asyncio.run(main(talk.agent([work]))) for _ in range(2)] == [([1, 2], {"i": 2})] * 2
    assert talk.llm.asked == 3


def test_a_tools_error_is_told_to_the_model_and_replays_as_the_same_error(talk: Any) -> None:
    def work() -> str:
        """Works."""
        talk.effects.append("work")
        raise ValueError("no such account")

    talk.script([("work", {})], "done")
    first = talk.run(talk.agent([work]))
    again = talk.run(talk.agent([work]))
    assert talk.effects == ["work"]
    assert talk.heard() == ["no such account"]
    for result in (first, again):
        (call,) = result.tool_calls
        assert call.tool_output.is_error
        assert str(call.tool_output.exception) == "no such account"


def test_a_tool_that_does_not_exist_is_told_to_the_model(talk: Any) -> None:
    talk.script([("nothing", {})], "done")
    talk.run(talk.agent([]))
    assert "not found" in talk.heard()[0]


def test_a_call_that_takes_too_long_is_told_to_the_model_and_the_same_on_replay(talk: Any) -> None:
    async def work() -> str:
        """Works."""
        talk.effects.append("work")
        await asyncio.Event().wait()
        return ""

    talk.script([("work", {})], "done")
    policies = {"work": ToolPolicy(timeout=0.02, on_unknown="fail")}
    for _ in range(2):
        assert str(talk.run(talk.agent([work], policies=policies))) == "done"
    assert talk.effects == ["work"]
    assert "did not return within" in talk.heard()[0]
    assert talk.llm.asked == 2


def test_a_retry_policy_tries_again_and_the_last_failure_is_the_answer(talk: Any) -> None:
    async def work(good: bool) -> str:
        """Works."""
        talk.effects.append(f"{good} {current_call().attempt}")
        if good and current_call().attempt == 3:
            return "at last"
        raise ConnectionError("refused")

    talk.script([("work", {"good": True}), ("work", {"good": False})], "done")
    policies = {"work": ToolPolicy(retry=Retry(stop=lambda state: state.attempt_number >= 3))}
    for _ in range(2):
        talk.run(talk.agent([work], policies=policies))
    assert sorted(talk.effects) == [f"{good} {i}" for good in (False, True) for i in (1, 2, 3)]
    assert talk.heard() == ["at last", "refused"]


@pytest.mark.parametrize("order", [("slow", "fast"), ("fast", "slow")])
def test_of_several_direct_answers_the_first_in_the_models_order_counts(talk: Any, order: Any) -> None:
    quick = asyncio.Event()

    async def slow() -> str:
        """Slow."""
        await quick.wait()
        return "slow"

    async def fast() -> str:
        """Fast."""
        quick.set()
        return "fast"

    tools = [FunctionTool.from_defaults(async_fn=fn, return_direct=True) for fn in (slow, fast)]
    talk.script([(name, {}) for name in order], "never")
    for _ in range(2):
        result = talk.run(talk.agent(tools))
        assert str(result) == order[0]
        assert result.raw == order[0]
    assert talk.llm.asked == 1


class Engine(CustomQueryEngine):
    """Answers from one source."""

    def custom_query(self, query_str: str) -> Any:
        return Response(
            response=f"about {query_str}",
            source_nodes=[NodeWithScore(node=TextNode(text="source", id_="n1"), score=0.5)],
        )


def test_a_query_engines_sources_come_back_on_replay(talk: Any) -> None:
    tool = QueryEngineTool.from_defaults(Engine(), name="search", description="Searches.")
    talk.script([("search", {"input": "tea"})], "done")
    for _ in range(2):
        (call,) = talk.run(talk.agent([tool])).tool_calls
        response = call.tool_output.raw_output
        assert isinstance(response, Response)
        assert response.source_nodes[0].node.get_content() == "source"


def test_a_replay_needs_no_tool_that_a_retriever_does_not_find_again(talk: Any) -> None:
    async def work() -> str:
        """Works."""
        return "worked"

    found = [FunctionTool.from_defaults(async_fn=work)]

    class Retriever(ObjectRetriever):
        def __init__(self) -> None:
            pass

        async def aretrieve(self, str_or_query_bundle: Any) -> list[Any]:
            return found

    talk.script([("work", {})], "done")
    agent = talk.plain([])
    agent.tools, agent.tool_retriever = None, Retriever()
    talk.run(talk.wrap(agent))
    found.clear()
    talk.run(talk.wrap(agent))
    assert talk.heard() == ["worked"]


def test_on_replay_calls_results_and_answers_are_streamed_again(talk: Any) -> None:
    async def work(i: int) -> str:
        """Works."""
        return str(i)

    talk.script([("work", {"i": i}) for i in range(3)], "done")
    kinds = (ToolCall, ToolCallResult, AgentOutput)
    for _ in range(2):
        _, events = talk.stream(talk.agent([work]))
        assert [sum(type(event) is kind for event in events) for kind in kinds] == [3, 3, 2]


def test_an_agent_keeps_its_class_and_the_one_given_stays_as_it_was(talk: Any) -> None:
    talk.script("done")
    plain = talk.plain([], name="Al")
    agent = talk.wrap(plain)
    assert isinstance(agent, type(plain))
    assert type(agent).__name__ == "FunctionAgent"
    assert agent.workflow_name == plain.workflow_name
    assert agent.name == "Al"
    assert not hasattr(plain, "toolslot_executor")


def test_what_is_no_agent_or_durable_already_is_refused(talk: Any) -> None:
    with pytest.raises(InvalidSetting, match="durable already"):
        durable(talk.agent([]))
    with pytest.raises(InvalidSetting, match="takes a workflow agent"):
        durable(object())  # type: ignore[type-var]


def test_arguments_that_the_program_injects_are_not_recorded(talk: Any) -> None:
    async def pay(i: int, token: str) -> str:
        """Pays."""
        talk.effects.append(f"{i} with {token}")
        return "paid"

    talk.script([("pay", {"i": 0})], "done")
    tool = FunctionTool.from_defaults(async_fn=pay, partial_params={"token": "secret"})
    live, replayed = (talk.run(talk.agent([tool])).tool_calls[0].tool_output.raw_input for _ in range(2))
    assert talk.effects == ["0 with secret"]
    assert live["kwargs"] == {"i": 0, "token": "secret"}
    assert replayed["kwargs"] == {"i": 0}


class Till(AsyncBaseTool):
    """A tool of the user's own, which shows everything that it was called with."""

    metadata: Any = ToolMetadata(name="pay", description="Pays.")

    def __call__(self, input: Any) -> ToolOutput:
        raise NotImplementedError

    def call(self, input: Any) -> ToolOutput:
        raise NotImplementedError

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        shown = {"args": ("secret", *args), "kwargs": kwargs, "token": "secret", **kwargs}
        return ToolOutput(content="paid", tool_name="pay", raw_input=shown, raw_output="paid")


def test_what_a_tool_of_ones_own_shows_as_its_input_is_not_recorded_unless_the_model_gave_it(
    talk: Any,
) -> None:
    talk.script([("pay", {"i": 0})], "done")
    live, replayed = (talk.run(talk.agent([Till()])).tool_calls[0].tool_output.raw_input for _ in range(2))
    assert live["token"] == "secret"
    assert replayed == {"i": 0}
    (found,) = talk.world.executor().journal.load(BatchKey("r-1", "turn-0")).result().slots
    assert b"secret" not in found.outcome.data
    assert b"c2VjcmV0" not in found.outcome.data
