"""Other agents than FunctionAgent: workflows of agents, ReAct, CodeAct."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.agent.workflow.workflow_events import AgentInput, AgentOutput, ToolCall
from llama_index.core.workflow import Context, Event, StopEvent
from workflows.decorators import step

from toolslot import BatchKey, SlotState, ToolslotError
from toolslot_llamaindex._demo_agent import ScriptedLLM


class Aside(Event):
    """What no agent sends."""


def crash_once(talk: Any, name: str) -> Any:
    first = [True]

    async def tool(i: int) -> str:
        """Works."""
        talk.effects.append(f"{name} {i}")
        if first:
            first.clear()
            talk.crash()
        return f"{name} did {i}"

    tool.__name__ = name
    return tool


async def steady(i: int) -> str:
    """Works."""
    return f"steady {i}"


def test_after_a_handoff_the_run_goes_on_with_the_agent_it_was_handed_to(talk: Any) -> None:
    a = ScriptedLLM([[("steady", {"i": 1}), ("handoff", {"to_agent": "B", "reason": "why not"})]])
    b = ScriptedLLM(["never", [("work", {"i": 2})], "done by B"])
    work = crash_once(talk, "work")
    flow = AgentWorkflow(
        agents=[
            FunctionAgent(name="A", description="first", tools=[steady], llm=a),
            FunctionAgent(name="B", description="second", tools=[work], llm=b),
        ],
        root_agent="A",
    )
    with pytest.raises(ToolslotError):
        talk.run(talk.wrap(flow))
    for _ in range(2):
        result = talk.run(talk.wrap(flow))
        assert (str(result), result.current_agent_name) == ("done by B", "B")
    assert (a.asked, b.asked) == (1, 2)
    assert talk.effects == ["work 2", "work 2"]


@pytest.mark.filterwarnings(
    "ignore:is_running called from within a step:DeprecationWarning"
)  # by ReActAgent itself
def test_a_react_agent_goes_on_with_what_it_thought(talk: Any) -> None:
    act = "Thought: I need it.\nAction: work\nAction Input: {{'i': {i}}}"
    talk.script(act.format(i=1), "unused")
    work = crash_once(talk, "work")
    said = iter([act.format(i=1), "Thought: I can answer.\nAnswer: it is done"])

    class Thinking(ScriptedLLM):
        def _answer(self, messages: Any) -> Any:
            response = super()._answer(messages)
            response.message.content = response.delta = next(said)
            return response

    llm = Thinking(["x"])
    agent = ReActAgent(tools=[work], llm=llm)
    with pytest.raises(ToolslotError):
        talk.run(talk.wrap(agent))
    for _ in range(2):
        assert str(talk.run(talk.wrap(agent))) == "it is done"
    assert llm.asked == 2
    assert talk.effects == ["work 1", "work 1"]
    assert any("work did 1" in (message.content or "") for message in llm.heard[-1])


def test_of_a_codeact_agent_the_executed_code_is_one_call(talk: Any) -> None:
    first = [True]

    async def execute(code: str) -> str:
        talk.effects.append(code.strip())
        if first:
            first.clear()
            talk.crash()
        return "42"

    llm = talk.script("<execute>\nprint(6 * 7)\n</execute>", "the answer is 42")
    agent = CodeActAgent(code_execute_fn=execute, tools=[], llm=llm)
    with pytest.raises(ToolslotError):
        talk.run(talk.wrap(agent))
    for _ in range(2):
        assert str(talk.run(talk.wrap(agent))) == "the answer is 42"
    assert llm.asked == 2
    assert talk.effects == ["print(6 * 7)"] * 2


def test_an_agent_class_of_ones_own_with_steps_of_its_own_is_taken(talk: Any) -> None:
    class Mine(FunctionAgent):
        async def get_tools(self, input_str: Any = None) -> Any:
            talk.effects.append("mine")
            return await super().get_tools(input_str)

    talk.script([("steady", {"i": 1})], "done")
    agent = talk.wrap(Mine(tools=[steady], llm=talk.llm))
    assert isinstance(agent, Mine)
    assert str(talk.run(agent)) == "done"
    assert "mine" in talk.effects


def test_a_step_that_is_added_to_the_class_later_is_found(talk: Any) -> None:
    class Own(FunctionAgent):
        """An agent class that no other test uses."""

    async def later(ev: Aside) -> None:
        """Goes nowhere."""

    later.__annotations__ = {"ev": Aside, "return": None}
    agent = talk.wrap(Own(tools=[], llm=talk.llm))
    assert "later" not in agent._get_steps()
    step(workflow=type(agent))(later)
    assert "later" in agent._get_steps()
    assert all(found.__self__ is agent for name, found in agent._get_steps().items() if name != "later")


def test_a_call_has_its_own_slot_when_the_agents_class_leaves_another_one_out(talk: Any) -> None:
    class Choosy(FunctionAgent):
        @step
        async def parse_agent_output(
            self, ctx: Context, ev: AgentOutput
        ) -> StopEvent | AgentInput | ToolCall | None:
            kept = [call for call in ev.tool_calls if call.tool_name != "read"]
            return await super().parse_agent_output(ctx, ev.model_copy(update={"tool_calls": kept}))

    async def read() -> str:
        """Reads."""
        return "read"

    async def pay() -> str:
        """Pays."""
        talk.effects.append("paid")
        return "paid"

    llm = talk.script([("read", {}), ("pay", {})], "done")
    agent = talk.wrap(Choosy(tools=[read, pay], llm=llm))
    assert str(talk.run(agent)) == "done"
    batch = agent.toolslot_executor.journal.load(BatchKey("r-1", "turn-0")).result()
    assert [slot.state for slot in batch.slots] == [SlotState.RESERVED, SlotState.SUCCEEDED]
