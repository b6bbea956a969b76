"""What tools show of themselves counts, until the user says otherwise: annotations of MCP, and that they run a graph."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from toolslot import ToolPolicy
from toolslot_langgraph import DurableParallelToolNode, make_durable
from toolslot_langgraph._hints import hinted_policies


def policy(**metadata: Any) -> ToolPolicy | None:
    made = StructuredTool.from_function(lambda: "", name="made", description="d", metadata=metadata)
    return hinted_policies([made]).get("made")


def flat(camel: dict[str, bool]) -> dict[str, Any]:
    return camel


def snake(camel: dict[str, bool]) -> dict[str, Any]:
    names = {
        "readOnlyHint": "read_only_hint",
        "idempotentHint": "idempotent_hint",
        "destructiveHint": "destructive_hint",
    }
    return {names[key]: value for key, value in camel.items()}


def nested(camel: dict[str, bool]) -> dict[str, Any]:
    return {"mcp": {"tool": {"annotations": snake(camel), "_meta": {}}, "server": {"name": "s"}}}


forms = pytest.mark.parametrize("form", [flat, snake, nested])


@forms
@pytest.mark.parametrize("hint", ["readOnlyHint", "idempotentHint"])
def test_a_tool_that_only_reads_or_is_idempotent_may_run_again(form: Any, hint: str) -> None:
    assert policy(**form({hint: True})) == ToolPolicy(idempotent=True)


@forms
def test_an_explicitly_destructive_tool_is_asked_about(form: Any) -> None:
    assert policy(**form({"destructiveHint": True, "readOnlyHint": False})) == ToolPolicy(on_unknown="ask")


@forms
@pytest.mark.parametrize(
    "hints", [{}, {"destructiveHint": False}, {"readOnlyHint": False, "idempotentHint": False}], ids=str
)
def test_hints_that_say_nothing_about_a_second_run_change_nothing(form: Any, hints: dict[str, bool]) -> None:
    assert policy(**form(hints)) is None


@pytest.mark.parametrize(
    "metadata", [{"readOnlyHint": "yes"}, {"mcp": "x"}, {"mcp": {"tool": None}}, {"readOnlyHint": 1}], ids=str
)
def test_only_a_plain_true_counts(metadata: dict[str, Any]) -> None:
    assert policy(**metadata) is None


def test_the_users_own_policy_comes_first_and_a_hint_before_the_default(talk: Any) -> None:
    tools = [
        StructuredTool.from_function(
            lambda: "", name=name, description="d", metadata={"destructiveHint": True}
        )
        for name in ("a", "b")
    ]
    node = talk.node(
        tools, policies={"a": ToolPolicy(on_unknown="fail")}, default_policy=ToolPolicy(on_unknown="rerun")
    )
    engine = node.executor._engine()
    assert [engine.policy(name).unknown_rule for name in "abc"] == ["fail", "ask", "rerun"]


# --- tools that run graphs ----------------------------------------------------------------------------------------------------

RERUN = ToolPolicy(on_unknown="rerun")


def graph_of(node: Any, **settings: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph.compile(**settings)


def pay(i: int) -> str:
    """Pays."""
    return f"paid {i}"


def durable_graph(**settings: Any) -> Any:
    return graph_of(DurableParallelToolNode([pay]), **settings)


def running(graph: Any) -> Any:
    def ask(question: str) -> str:
        return str(graph.invoke({"messages": [question]}))

    return ask


def hint(function: Any, **settings: Any) -> ToolPolicy | None:
    made = StructuredTool.from_function(function, name="ask", description="d", **settings)
    return hinted_policies([made]).get("ask")


def test_a_tool_that_runs_a_durable_graph_is_entered_again() -> None:
    assert hint(running(durable_graph())) == RERUN


def test_a_tool_that_runs_one_of_several_graphs_is_entered_again() -> None:
    graphs = {"one": durable_graph(), "two": durable_graph(checkpointer=True)}

    async def task(name: str) -> str:
        return str(await graphs[name].ainvoke({"messages": []}))

    made = StructuredTool.from_function(coroutine=task, name="ask", description="d")
    assert hinted_policies([made]) == {"ask": RERUN}


def test_a_graph_without_tool_nodes_goes_on_as_well() -> None:
    assert hint(running(graph_of(lambda state: None))) == RERUN


def test_a_graph_that_keeps_no_checkpoints_would_run_anew() -> None:
    assert hint(running(durable_graph(checkpointer=False))) is None


def test_a_graph_with_a_plain_tool_node_would_repeat_its_calls() -> None:
    assert hint(running(graph_of(ToolNode([pay])))) is None


def test_a_plain_tool_node_deep_inside_counts_too() -> None:
    innermost = running(graph_of(ToolNode([pay])))
    innermost.__doc__ = "Asks."
    middle = graph_of(DurableParallelToolNode([innermost]))
    assert hint(running(middle)) is None


def test_a_graph_that_was_made_durable_since_the_last_look_goes_on() -> None:
    graph = graph_of(ToolNode([pay]))
    function = running(graph)
    assert hint(function) is None
    make_durable(graph)
    assert hint(function) == RERUN


def test_a_tool_that_only_looks_at_a_graph_says_nothing() -> None:
    graph = durable_graph()
    assert hint(lambda question: str(graph.get_graph())) is None


def test_a_graph_that_only_a_helper_knows_says_nothing_of_the_tool() -> None:
    tell, model = running(durable_graph()), graph_of(lambda state: None).get_graph()

    def charge(question: str) -> str:
        return tell(question) + str(model.invoke)  # type: ignore[attr-defined]

    assert hint(charge) is None


def test_an_annotation_and_a_policy_come_before_the_graph_inside(talk: Any) -> None:
    function = running(durable_graph())
    assert hint(function, metadata={"destructiveHint": True}) == ToolPolicy(on_unknown="ask")
    made = StructuredTool.from_function(function, name="ask", description="d")
    given = talk.node([made], policies={"ask": ToolPolicy(on_unknown="fail")}).executor._engine()
    assert given.policy("ask").unknown_rule == "fail"
    default = talk.node([made], default_policy=ToolPolicy(on_unknown="ask")).executor._engine()
    assert default.policy("ask") == RERUN
