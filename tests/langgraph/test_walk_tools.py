"""Agents that tools hold are reached, however they hold them: pitfall 16."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode

from support.walking import agent, around, around_tool, node_of, reached
from toolslot_langgraph import DurableParallelToolNode, durable_nodes, make_durable

_global_agent = agent()
_global_agents = {"one": _global_agent}
_global_team = SimpleNamespace(agents=_global_agents)


def _helper(question: str) -> Any:
    return _global_agent.invoke({"messages": [question]})


def in_a_closure(inner: Any) -> Any:
    def ask(question: str) -> str:
        return str(inner.invoke({"messages": [question]}))

    return ask


def in_an_inner_function(inner: Any) -> Any:
    def ask(question: str) -> str:
        def again() -> Any:
            return inner.invoke({"messages": [question]})

        return str(again())

    return ask


def in_a_dict(inner: Any) -> Any:
    graphs = {"general-purpose": inner}

    def task(description: str, subagent_type: str) -> str:
        return str(graphs[subagent_type].invoke({"messages": [description]}))

    return task


def behind_a_helper_in_the_closure(inner: Any) -> Any:
    graphs = {"general-purpose": inner}

    def select(name: str) -> Any:
        return graphs[name]

    def task(description: str, subagent_type: str) -> str:
        return str(select(subagent_type).invoke({"messages": [description]}))

    return task


def in_a_list_in_a_dict(inner: Any) -> Any:
    teams = {"red": [("first", inner)]}

    def ask(question: str) -> str:
        return str(teams["red"][0][1].invoke({"messages": [question]}))

    return ask


def as_a_default(inner: Any) -> Any:
    def ask(question: str, *, _agent: Any = inner) -> str:
        return str(_agent.invoke({"messages": [question]}))

    return ask


def as_a_bound_method(inner: Any) -> Any:
    invoke = inner.invoke

    def ask(question: str) -> str:
        return str(invoke({"messages": [question]}))

    return ask


def decorated(inner: Any) -> Any:
    def noted(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    return noted(in_a_closure(inner))


def in_a_partial(inner: Any) -> Any:
    def ask(bound: Any, question: str) -> str:
        return str(bound.invoke({"messages": [question]}))

    call = partial(ask, inner)

    def tell(question: str) -> str:
        return call(question)

    return tell


class Team:
    """Holds an agent in every way a class may."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.agents = {"one": inner}

    @property
    def chosen(self) -> Any:
        return self.agents["one"]

    @cached_property
    def cached(self) -> Any:
        return self.agents["one"]

    def ask(self, question: str) -> str:
        return str(self.inner.invoke({"messages": [question]}))

    def ask_by_method(self, question: str) -> str:
        return self.ask(question)

    def ask_by_property(self, question: str) -> str:
        return str(self.chosen.invoke({"messages": [question]}))

    def ask_by_cached_property(self, question: str) -> str:
        return str(self.cached.invoke({"messages": [question]}))

    def __call__(self, question: str) -> str:
        return self.ask(question)


@dataclass(slots=True)
class Slotted:
    inner: Any


def in_an_object(inner: Any) -> Any:
    team = SimpleNamespace(leader=Team(inner))

    def ask(question: str) -> str:
        return str(team.leader.inner.invoke({"messages": [question]}))

    return ask


def some_dots_away(inner: Any) -> Any:
    company = SimpleNamespace(sales=SimpleNamespace(north=SimpleNamespace(clerk=inner)))

    def ask(question: str) -> str:
        return str(company.sales.north.clerk.invoke({"messages": [question]}))

    return ask


def in_an_object_with_slots(inner: Any) -> Any:
    team = {"first": Slotted(inner)}

    def ask(question: str) -> str:
        return str(team["first"].inner.invoke({"messages": [question]}))

    return ask


def in_a_callable_object(inner: Any) -> Any:
    team = Team(inner)

    def ask(question: str) -> str:
        return team(question)

    return ask


def in_a_class(inner: Any) -> Any:
    class Agents:
        one = inner

    def ask(question: str) -> str:
        return str(Agents.one.invoke({"messages": [question]}))

    return ask


HOLDERS = [
    in_a_closure,
    in_an_inner_function,
    in_a_dict,
    behind_a_helper_in_the_closure,
    in_a_list_in_a_dict,
    as_a_default,
    as_a_bound_method,
    decorated,
    in_a_partial,
    in_an_object,
    some_dots_away,
    in_an_object_with_slots,
    in_a_callable_object,
    in_a_class,
    lambda inner: Team(inner).ask,
    lambda inner: Team(inner).ask_by_method,
    lambda inner: Team(inner).ask_by_property,
    lambda inner: Team(inner).ask_by_cached_property,
]


@pytest.mark.parametrize("hold", HOLDERS, ids=lambda hold: hold.__name__)
def test_pitfall_16_an_agent_that_a_tool_holds_is_reached(hold: Any) -> None:
    inner = agent()
    graph = around_tool(hold(inner))
    assert reached(graph) == [node_of(graph), node_of(inner)]


def _by_global(question: str) -> str:
    return str(_global_agent.invoke({"messages": [question]}))


def _by_global_dict(question: str) -> str:
    return str(_global_agents["one"].invoke({"messages": [question]}))


def _by_global_attribute(question: str) -> str:
    return str(_global_team.agents["one"].invoke({"messages": [question]}))


def _by_global_helper(question: str) -> str:
    return str(_helper(question))


async def _by_global_async(question: str) -> str:
    return str(await _global_agent.ainvoke({"messages": [question]}))


@pytest.mark.parametrize(
    "function", [_by_global, _by_global_dict, _by_global_attribute, _by_global_helper, _by_global_async]
)
def test_pitfall_16_an_agent_that_a_tool_names_is_reached(function: Any) -> None:
    assert node_of(_global_agent) in reached(around_tool(function))


def test_pitfall_16_an_agent_made_a_tool_by_langchain_is_reached() -> None:
    inner = agent()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)
        made = inner.as_tool(name="ask", description="Asks.", arg_types={"messages": list})
    node = ToolNode([made])
    assert reached(around(node)) == [node, node_of(inner)]


def test_pitfall_16_a_tool_of_a_users_class_is_read() -> None:
    inner = agent()

    class Ask(BaseTool):
        name: str = "ask"
        description: str = "Asks."
        agents: dict[str, Any] = {}

        def _run(self, question: str) -> str:
            return str(self.agents["one"].invoke({"messages": [question]}))

    node = ToolNode([Ask(agents={"one": inner})])
    assert reached(around(node)) == [node, node_of(inner)]


def test_pitfall_16_agents_in_agents_are_upgraded_to_the_last() -> None:
    innermost = agent()
    middle = around_tool(in_a_dict(innermost))
    outer = make_durable(around_tool(in_a_closure(middle)))
    assert [*durable_nodes(outer)] == [
        "tools",
        "tools/ask/tools",
        "tools/ask/tools/ask/general-purpose/tools",
    ]
    assert type(node_of(innermost)) is DurableParallelToolNode
