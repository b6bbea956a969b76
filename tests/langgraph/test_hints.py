"""What tools show of themselves: annotations of MCP count until the user says otherwise, and a guess loosens no policy."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from toolslot import ToolPolicy
from toolslot_langgraph import DurableParallelToolNode, make_durable
from toolslot_langgraph._hints import hinted_policies, may_go_on


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


def running(graph: Any, config: Any = None) -> Any:
    def ask(question: str) -> str:
        return str(graph.invoke({"messages": [question]}, config))

    return ask


def made_of(function: Any, **settings: Any) -> Any:
    return StructuredTool.from_function(function, name="ask", description="d", **settings)


def goes_on(function: Any, around: Any = ()) -> bool:
    return may_go_on(made_of(function), around)


def test_a_tool_that_runs_a_durable_graph_may_go_on() -> None:
    assert goes_on(running(durable_graph()))


def test_a_tool_that_runs_one_of_several_graphs_may_go_on() -> None:
    graphs = {"one": durable_graph(), "two": durable_graph(checkpointer=True)}

    async def task(name: str) -> str:
        return str(await graphs[name].ainvoke({"messages": []}))

    made = StructuredTool.from_function(coroutine=task, name="ask", description="d")
    assert may_go_on(made, ())


def test_a_graph_without_tool_nodes_may_go_on_as_well() -> None:
    assert goes_on(running(graph_of(lambda state: None)))


def test_a_graph_that_keeps_no_checkpoints_would_begin_again() -> None:
    assert not goes_on(running(durable_graph(checkpointer=False)))


def test_a_graph_with_a_saver_of_its_own_may_have_run_there() -> None:
    assert not goes_on(running(durable_graph(checkpointer=InMemorySaver())))


def in_its_own_code(graph: Any) -> Any:
    def ask(question: str) -> str:
        return str(graph.invoke({"messages": [question]}, {"configurable": {"thread_id": question}}))

    return ask


def in_a_helper(graph: Any) -> Any:
    def place(question: str) -> Any:
        return {"configurable": {"thread_id": question}}

    def ask(question: str) -> str:
        return str(graph.invoke({"messages": [question]}, place(question)))

    return ask


def in_an_inner_function(graph: Any) -> Any:
    def ask(question: str) -> str:
        def again(**place: str) -> str:
            return str(graph.invoke({"messages": [question]}, {"configurable": place}))

        return again(thread_id=question)

    return ask


@pytest.mark.parametrize("names_it", [in_its_own_code, in_a_helper, in_an_inner_function])
def test_a_tool_that_names_a_thread_may_have_run_the_graph_there(names_it: Any) -> None:
    assert not goes_on(names_it(durable_graph()))


def test_a_graph_around_the_call_has_checkpoints_that_could_be_taken_for_the_tools() -> None:
    guard = running(graph_of(lambda state: None))
    assert not goes_on(running(durable_graph()), around=(guard, None))
    assert goes_on(running(durable_graph()), around=(lambda request, handler: handler(request), None))


def test_a_graph_with_a_plain_tool_node_would_repeat_its_calls() -> None:
    assert not goes_on(running(graph_of(ToolNode([pay]))))


def test_a_plain_tool_node_deep_inside_counts_too() -> None:
    innermost = running(graph_of(ToolNode([pay])))
    innermost.__doc__ = "Asks."
    middle = graph_of(DurableParallelToolNode([innermost]))
    assert not goes_on(running(middle))


def test_a_graph_that_was_made_durable_since_the_last_look_may_go_on() -> None:
    graph = graph_of(ToolNode([pay]))
    function = running(graph)
    assert not goes_on(function)
    make_durable(graph)
    assert goes_on(function)


def test_a_tool_that_only_looks_at_a_graph_says_nothing() -> None:
    graph = durable_graph()
    assert not goes_on(lambda question: str(graph.get_graph()))


def test_a_graph_that_only_a_helper_knows_says_nothing_of_the_tool() -> None:
    tell, model = running(durable_graph()), graph_of(lambda state: None).get_graph()

    def charge(question: str) -> str:
        return tell(question) + str(model.invoke)  # type: ignore[attr-defined]

    assert not goes_on(charge)


def test_what_a_tool_looks_like_is_no_policy(talk: Any) -> None:
    made = made_of(running(durable_graph()))
    assert hinted_policies([made]) == {}
    default = talk.node([made], default_policy=ToolPolicy(on_unknown="ask")).executor
    assert not default.declares("ask")
    assert default._engine().policy("ask") == ToolPolicy(on_unknown="ask")


def test_an_annotation_and_a_policy_are_declared(talk: Any) -> None:
    function = running(durable_graph())
    hinted = made_of(function, metadata={"destructiveHint": True})
    assert hinted_policies([hinted]) == {"ask": ToolPolicy(on_unknown="ask")}
    assert talk.node([hinted]).executor.declares("ask")
    given = talk.node([made_of(function)], policies={"ask": ToolPolicy(on_unknown="fail")}).executor
    assert given.declares("ask")
    assert given._engine().policy("ask").unknown_rule == "fail"
