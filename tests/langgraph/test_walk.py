"""Which tool nodes a graph reaches: through nodes, runnables and functions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from langchain_core.runnables import RunnableBranch, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from support.walking import agent, around, around_tool, node_of, pay, reached
from toolslot_langgraph._walk import nodes_in, walk

# --- runnables as nodes -------------------------------------------------------------------------------------------------------

RUNNABLES = {
    "the graph": lambda inner: inner,
    "with a config": lambda inner: inner.with_config(tags=["x"]),
    "a binding": lambda inner: inner.with_retry(),
    "a sequence": lambda inner: RunnablePassthrough() | inner | RunnableLambda(lambda state: state),
    "a parallel": lambda inner: RunnableParallel(messages=inner),
    "a branch": lambda inner: RunnableBranch((lambda _: True, inner), RunnablePassthrough()),
    "a branch's default": lambda inner: RunnableBranch((lambda _: True, RunnablePassthrough()), inner),
    "fallbacks": lambda inner: RunnablePassthrough().with_fallbacks([inner]),
    "an assignment": lambda inner: RunnablePassthrough.assign(messages=inner),
    "a lambda": lambda inner: RunnableLambda(lambda state: inner.invoke(state)),
    "a function": lambda inner: lambda state: inner.invoke(state),
    "a map": lambda inner: inner.map(),
}


@pytest.mark.parametrize("wrap", RUNNABLES.values(), ids=RUNNABLES)
def test_a_subgraph_in_a_node_is_reached_in(wrap: Any) -> None:
    inner = agent()
    assert reached(around(wrap(inner))) == [node_of(inner)]


def test_an_async_node_function_is_read_as_well() -> None:
    inner = agent()

    async def run(state: MessagesState) -> Any:
        return await inner.ainvoke(state)

    assert reached(around(run)) == [node_of(inner)]


def test_a_tool_node_that_a_node_function_calls_itself_is_reached() -> None:
    node = ToolNode([pay])
    assert reached(around(lambda state: node.invoke(state))) == [node]


def test_an_entrypoint_and_its_tasks_are_read() -> None:
    inner = agent()

    @task
    def work(state: Any) -> Any:
        return inner.invoke(state)

    @entrypoint()
    def flow(state: Any) -> Any:
        return work(state).result()

    assert reached(flow) == [node_of(inner)]


def test_a_path_names_the_nodes_tools_and_keys_on_the_way() -> None:
    agents = {"research": agent(), "write": agent()}

    @tool
    def ask(who: str) -> str:
        """Asks an agent."""
        return str(agents[who].invoke({"messages": []}))

    graph = StateGraph(MessagesState)
    graph.add_node("team", ToolNode([ask]))
    graph.add_edge(START, "team")
    assert [*nodes_in(walk(graph.compile()))] == ["team", "team/ask/research/tools", "team/ask/write/tools"]


def test_paths_that_are_the_same_are_numbered() -> None:
    agents = [agent(), agent()]
    assert [*nodes_in(walk(around(lambda state: [each.invoke(state) for each in agents])))] == [
        "outer/tools",
        "outer/tools#2",
    ]


# --- limits -------------------------------------------------------------------------------------------------------------------


def test_circles_end() -> None:
    graphs: dict[str, Any] = {}

    def ask(question: str) -> str:
        return str(graphs["self"].invoke({"messages": [question]}))

    graph = graphs["self"] = around_tool(ask)
    graphs["graphs"] = graphs
    assert reached(graph) == [node_of(graph)]


def test_a_name_that_has_no_value_yet_is_passed_over() -> None:
    def ask(question: str) -> str:
        return str(later.invoke({"messages": [question]}))

    graph = around_tool(ask)
    assert reached(graph) == [node_of(graph)]
    later = agent()
    assert reached(graph) == [node_of(graph), node_of(later)]


def test_looking_runs_nobodys_code() -> None:
    class Trap:
        @property
        def agents(self) -> Any:
            raise AssertionError("a property was run")

        def __getattr__(self, name: str) -> Any:
            raise AssertionError("an attribute was asked for")

    trap = Trap()

    def ask(question: str) -> str:
        return str(trap.agents[question].missing)

    graph = around_tool(ask)
    assert reached(graph) == [node_of(graph)]


def test_what_cannot_be_looked_at_is_reported_and_the_rest_is_found(caplog: Any) -> None:
    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("used outside of a request")

    proxies, inner = [Proxy()], agent()
    node = ToolNode([pay])

    def run(state: MessagesState) -> Any:
        return proxies, node.invoke(inner.invoke(state))

    assert reached(around(run)) == [node, node_of(inner)]
    assert any("toolslot.not_read" in record.getMessage() for record in caplog.records)


def test_a_large_collection_is_data_and_costs_little() -> None:
    table = [{"row": [i]} for i in range(300_000)]

    def ask(question: str) -> str:
        return str(table[0]["row"])

    graph = around_tool(ask)
    began = time.perf_counter()
    assert reached(graph) == [node_of(graph)]
    assert time.perf_counter() - began < 0.5
