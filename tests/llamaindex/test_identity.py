"""One run id belongs to one agent; a deploy that changes the agent is no other agent."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent

from toolslot import BatchMismatch, InvalidSetting
from toolslot_llamaindex import durable
from toolslot_llamaindex._identity import Identity


def tools(*names: str) -> list[Any]:
    def tool(name: str) -> Any:
        async def run() -> str:
            """Does it."""
            return name

        run.__name__ = name
        return run

    return [tool(name) for name in names]


def agent_of(talk: Any, names: str, **settings: Any) -> Any:
    return talk.plain(tools(*names.split()), **settings)


BEGUN = {"names": "pay book", "name": "payer", "system_prompt": "You pay."}
OTHERS: dict[str, dict[str, Any]] = {
    "another name": {**BEGUN, "name": "refunder"},
    "other tools and another prompt": {**BEGUN, "names": "refund", "system_prompt": "You refund."},
    "other tools and no prompt": {**BEGUN, "names": "refund", "system_prompt": None},
}
SAME: dict[str, dict[str, Any]] = {
    "a tool more": {**BEGUN, "names": "pay book look"},
    "a tool less": {**BEGUN, "names": "pay"},
    "a tool renamed": {**BEGUN, "names": "pay book_v2"},
    "all tools renamed": {**BEGUN, "names": "pay_v2 book_v2"},
    "no tools": {**BEGUN, "names": ""},
    "another prompt": {**BEGUN, "system_prompt": "You pay well."},
    "a tool renamed and another prompt": {**BEGUN, "names": "pay book_v2", "system_prompt": "You pay well."},
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_run_that_another_agent_began_is_refused_with_both_named(talk: Any, what: str) -> None:
    talk.script([("pay", {})], "done")
    talk.run(talk.wrap(agent_of(talk, **BEGUN)))
    asked = talk.llm.asked
    with pytest.raises(BatchMismatch) as refused:
        talk.run(talk.wrap(agent_of(talk, **OTHERS[what])))
    told = str(refused.value)
    for shown in ("'payer'", "'pay'", f"'{OTHERS[what]['name']}'", "on_other_agent"):
        assert shown in told
    assert "You pay" not in told
    assert talk.llm.asked == asked
    assert str(talk.run(talk.wrap(agent_of(talk, **OTHERS[what]), on_other_agent="resume"))) == "done"


@pytest.mark.parametrize("what", SAME)
def test_a_deploy_that_changes_tools_or_prompt_goes_on_with_the_run(talk: Any, what: str) -> None:
    talk.script([("pay", {})], "done")
    talk.run(talk.wrap(agent_of(talk, **BEGUN)))
    assert str(talk.run(talk.wrap(agent_of(talk, **SAME[what])))) == "done"
    assert talk.llm.asked == 2


def test_two_agents_without_names_and_prompts_are_told_apart_by_their_tools(talk: Any) -> None:
    talk.script([("pay", {})], "done")
    talk.run(talk.wrap(agent_of(talk, "pay")))
    with pytest.raises(BatchMismatch, match="refund"):
        talk.run(talk.wrap(agent_of(talk, "refund")))


def test_an_agent_of_another_kind_is_another_agent(talk: Any) -> None:
    talk.script("done")
    talk.run(talk.wrap(agent_of(talk, "pay")))
    with pytest.raises(BatchMismatch, match="ReActAgent"):
        talk.run(talk.wrap(ReActAgent(tools=tools("pay"), llm=talk.llm)))


def test_a_workflow_is_known_by_its_first_agent_and_has_the_tools_of_all(talk: Any) -> None:
    def named(name: str, *names: str) -> FunctionAgent:
        return FunctionAgent(name=name, description="d", tools=tools(*names), llm=talk.llm)

    both = AgentWorkflow(agents=[named("a", "x"), named("b", "y")], root_agent="a")
    assert Identity.of(both) == Identity(name="a", kind="AgentWorkflow", tools=("x", "y"), prompt="")


def test_a_class_made_from_an_agents_class_is_of_its_kind(talk: Any) -> None:
    class Mine(FunctionAgent):
        pass

    made = durable(Mine(tools=tools("x"), llm=talk.llm))
    assert Identity.of(made).kind == "FunctionAgent"
    assert Identity.unpacked(Identity.of(made).packed()) == Identity.of(made)


def test_where_a_retriever_finds_the_tools_they_say_nothing() -> None:
    one = Identity(name="a", kind="FunctionAgent", tools=None, prompt="")
    assert one.is_same_as(Identity(name="a", kind="FunctionAgent", tools=("x",), prompt="p"))


def test_a_setting_that_means_nothing_is_refused(talk: Any) -> None:
    with pytest.raises(InvalidSetting, match="on_other_agent"):
        durable(agent_of(talk, "pay"), on_other_agent="ask")  # type: ignore[arg-type]
