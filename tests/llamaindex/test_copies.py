"""Copies: a durable agent is one, and has some."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow
from llama_index.core.tools import FunctionTool


async def pay(i: int) -> str:
    """Pays."""
    paid.append(i)
    return f"paid {i}"


async def look() -> str:
    """Looks."""
    return "seen"


paid: list[int] = []


@pytest.fixture(autouse=True)
def nothing_paid() -> None:
    paid.clear()


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("flow", [False, True], ids=["an agent", "a workflow of agents"])
def test_a_copy_of_a_durable_agent_takes_up_the_runs_of_the_first(talk: Any, how: Any, flow: bool) -> None:
    talk.script([("pay", {"i": 1})], "done")
    plain = talk.plain([pay])
    agent = talk.wrap(AgentWorkflow(agents=[plain], root_agent=plain.name) if flow else plain)
    other = how(agent)
    assert type(other) is type(agent)
    assert str(talk.run(agent)) == str(talk.run(other)) == "done"
    assert paid == [1]
    assert str(talk.run(other, run_id="r-2")) == "done"
    assert paid == [1, 1]


def test_what_is_added_to_the_durable_agent_is_not_added_to_the_one_given(talk: Any) -> None:
    plain = talk.plain([pay], initial_state={"n": 1}, can_handoff_to=["B"])
    agent = talk.wrap(plain)
    agent.tools.append(FunctionTool.from_defaults(look))
    agent.initial_state["m"] = 2
    agent.can_handoff_to.append("C")
    assert [tool.metadata.name for tool in plain.tools] == ["pay"]
    assert plain.initial_state == {"n": 1}
    assert plain.can_handoff_to == ["B"]

    talk.script([("look", {})], "done")
    agent.llm = talk.llm
    talk.run(agent)
    assert talk.heard() == ["seen"]


def test_two_copies_run_at_once(talk: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")
    agent = talk.agent([pay])
    other = copy.deepcopy(agent)

    async def main() -> list[str]:
        runs = [each.run(user_msg="go", run_id=f"r-{n}") for n, each in enumerate((agent, other))]
        return [str(await run) for run in runs]

    assert asyncio.run(main()) == ["done", "done"]
    assert paid == [1, 1]
