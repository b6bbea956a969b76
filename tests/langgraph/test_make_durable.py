"""Graphs that were built without toolslot, made durable afterwards."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from support.agents import asking, react, run, said
from support.harness import World, running
from toolslot import InvalidSetting, ToolPolicy
from toolslot_langgraph import DurableParallelToolNode, DurableToolMiddleware, durable_nodes, make_durable


@tool
def pay(i: int) -> str:
    """Pays."""
    return f"paid {i}"


def state_graph(model: Any, tools: Any, **settings: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", tools if isinstance(tools, ToolNode) else ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    return graph.compile(**settings)


DOORS: dict[str, Callable[..., Any]] = {
    "create_agent": create_agent,
    "react_v1": lambda *args, **settings: react(*args, version="v1", **settings),
    "react_v2": lambda *args, **settings: react(*args, version="v2", **settings),
    "react_v1_node": lambda model, tools, **settings: react(model, ToolNode(tools), version="v1", **settings),
    "react_v2_node": lambda model, tools, **settings: react(model, ToolNode(tools), version="v2", **settings),
    "state_graph": state_graph,
}
doors = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
modes = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


class Till:
    """A tool that takes payments, and fails once in the second call."""

    def __init__(self, *, asynchronous: bool = False) -> None:
        self.paid: Counter[int] = Counter()

        def take(i: int) -> str:
            self.paid[i] += 1
            if i == 1 and self.paid[i] == 1:
                raise ConnectionError("the line is down")
            return f"paid {i}"

        async def atake(i: int) -> str:
            return take(i)

        self.tool = tool("pay", description="Pays.")(atake if asynchronous else take)


@pytest.fixture
def journal() -> Any:
    return World().executor().journal


# --- doors ----------------------------------------------------------------------------------------------------------------


@modes
@doors
def test_finished_calls_of_a_run_that_failed_are_replayed(
    door: Any, asynchronous: bool, journal: Any
) -> None:
    till = Till(asynchronous=asynchronous)
    graph = make_durable(door(asking("pay"), [till.tool], checkpointer=InMemorySaver()), journal=journal)
    with pytest.raises(ConnectionError):
        run(graph, {"messages": ["pay"]}, asynchronous=asynchronous)
    assert said(run(graph, None, asynchronous=asynchronous)) == ["paid 0", "paid 1", "paid 2"]
    assert till.paid == {0: 1, 1: 2, 2: 1}


def test_a_graph_over_sqlite_replays_from_a_journal_on_disk(tmp_path: Any) -> None:
    till = Till()
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        graph = make_durable(
            state_graph(asking("pay"), [till.tool], checkpointer=saver), journal=tmp_path / "journal"
        )
        with pytest.raises(ConnectionError):
            run(graph, {"messages": ["pay"]})
        assert said(run(graph, None)) == ["paid 0", "paid 1", "paid 2"]
        durable_nodes(graph)["tools"].executor.journal.close()
    assert till.paid == {0: 1, 1: 2, 2: 1}


@doors
def test_the_graph_itself_comes_back_with_its_own_node_upgraded(door: Any, journal: Any) -> None:
    graph = door(asking("pay"), [pay])
    node = graph.nodes["tools"].bound
    assert make_durable(graph, journal=journal) is graph
    assert graph.nodes["tools"].bound is node
    assert type(node) is DurableParallelToolNode
    assert [*durable_nodes(graph).items()] == [("tools", node)]


def test_pitfall_11_an_upgraded_node_runs_its_new_methods(journal: Any) -> None:
    graph = make_durable(create_agent(asking("pay"), [pay]), journal=journal)
    node = durable_nodes(graph)["tools"]
    assert node.func == node._func
    assert node.afunc == node._afunc
    assert node.func.__func__ is DurableParallelToolNode._func


# --- classes of users -------------------------------------------------------------------------------------------------------


class Counting(ToolNode):
    """A tool node of a user's own."""

    def __init__(self, tools: Any, label: str) -> None:
        super().__init__(tools)
        self.label = label
        self.executions = 0
        self.calls: list[str] = []

    def _func(self, input: Any, config: RunnableConfig, runtime: Any) -> Any:
        self.executions += 1
        return super()._func(input, config, runtime)

    def _run_one(self, call: Any, input_type: Any, tool_runtime: Any) -> Any:
        self.calls.append(call["id"])
        return super()._run_one(call, input_type, tool_runtime)


def test_a_users_tool_node_stays_what_it_is_and_becomes_durable(journal: Any) -> None:
    till = Till()
    node = Counting([till.tool], "mine")
    graph = make_durable(state_graph(asking("pay"), node, checkpointer=InMemorySaver()), journal=journal)
    assert isinstance(node, Counting)
    assert isinstance(node, DurableParallelToolNode)
    with pytest.raises(ConnectionError):
        run(graph, {"messages": ["pay"]})
    run(graph, None)
    assert (node.label, node.executions, sorted(node.calls)) == ("mine", 2, ["c0", "c1", "c1", "c2"])
    assert till.paid == {0: 1, 1: 2, 2: 1}


def test_nodes_of_one_class_stay_of_one_class(journal: Any) -> None:
    nodes = [Counting([pay], "a"), Counting([pay], "b")]
    for node in nodes:
        make_durable(state_graph(asking("pay"), node), journal=journal)
    assert type(nodes[0]) is type(nodes[1])
    assert type(nodes[0]).__name__ == "DurableCounting"


class WithExecutor(ToolNode):
    executor = "the user's own"


class WithSettings(ToolNode):
    def __init__(self, tools: Any) -> None:
        super().__init__(tools)
        self._settings = "the user's own"


class Sealed(ToolNode):
    def __init_subclass__(cls) -> None:
        raise TypeError("sealed")


def two_nodes(second: ToolNode) -> tuple[Any, ToolNode]:
    first = ToolNode([pay], name="first")
    graph = StateGraph(MessagesState)
    graph.add_node("first", first).add_node("second", second).add_edge(START, "first")
    return graph.compile(), first


def refused(graph: Any, nodes: list[ToolNode], reason: str) -> None:
    before = [(type(node), dict(vars(node))) for node in nodes]
    with pytest.raises(InvalidSetting, match=f"'second'.*{reason}"):
        make_durable(graph, journal=World().executor().journal)
    assert [(type(node), dict(vars(node))) for node in nodes] == before


@pytest.mark.parametrize(
    ("make", "reason"), [(WithExecutor, "executor"), (WithSettings, "_settings"), (Sealed, "sealed")]
)
def test_a_node_that_cannot_be_upgraded_is_refused_and_nothing_is_changed(make: Any, reason: str) -> None:
    second = make([pay])
    graph, first = two_nodes(second)
    refused(graph, [first, second], reason)


def test_a_node_whose_functions_were_replaced_is_refused_and_keeps_them() -> None:
    second: Any = ToolNode([pay])
    graph, first = two_nodes(second)
    inner = second.func
    second.func = lambda *args, **kwargs: inner(*args, **kwargs)  # as an instrumentation does
    refused(graph, [first, second], "stands in their place")


def test_bad_options_change_nothing() -> None:
    graph = create_agent(asking("pay"), [pay])
    with pytest.raises(InvalidSetting, match="on_fork"):
        make_durable(graph, on_fork="sometimes")  # type: ignore[arg-type]
    assert type(graph.nodes["tools"].bound) is ToolNode


# --- twice ------------------------------------------------------------------------------------------------------------------


def logged(caplog: Any, event: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.getMessage().startswith(f"toolslot.{event} ")
    ]


def test_the_log_says_what_was_upgraded(caplog: Any, journal: Any) -> None:
    caplog.set_level(logging.INFO, "toolslot")
    make_durable(create_agent(asking("pay"), [pay]), journal=journal)
    assert logged(caplog, "made_durable") == ["toolslot.made_durable upgraded=['tools'] already_durable=[]"]


@pytest.mark.parametrize("again", [{}, {"on_fork": "rerun"}], ids=["bare", "same"])
def test_a_second_call_changes_nothing_and_says_so(caplog: Any, journal: Any, again: Any) -> None:
    caplog.set_level(logging.INFO, "toolslot")
    graph = make_durable(create_agent(asking("pay"), [pay]), journal=journal, on_fork="rerun")
    before = dict(vars(durable_nodes(graph)["tools"]))
    caplog.clear()
    assert make_durable(graph, **again) is graph
    assert vars(durable_nodes(graph)["tools"]) == before
    assert [record.getMessage() for record in caplog.records] == [
        "toolslot.made_durable upgraded=[] already_durable=['tools']"
    ]


def test_a_second_call_with_other_options_leaves_the_first_ones_and_warns(caplog: Any, journal: Any) -> None:
    graph = make_durable(create_agent(asking("pay"), [pay]), journal=journal)
    executor = durable_nodes(graph)["tools"].executor
    make_durable(graph, policies={"pay": ToolPolicy(on_unknown="fail")})
    assert durable_nodes(graph)["tools"].executor is executor
    assert "nodes=['tools']" in logged(caplog, "options_kept")[0]


def test_a_bad_option_is_refused_in_a_second_call_too(journal: Any) -> None:
    graph = make_durable(create_agent(asking("pay"), [pay]), journal=journal)
    with pytest.raises(InvalidSetting):
        make_durable(graph, on_fork="sometimes")  # type: ignore[arg-type]


def test_a_node_that_was_made_durable_by_hand_keeps_its_options(journal: Any) -> None:
    node = DurableParallelToolNode([pay], journal=journal, on_fork="replay")
    executor = node.executor
    make_durable(state_graph(asking("pay"), node))
    assert node.executor is executor


def test_an_agent_with_the_middleware_is_durable_already(caplog: Any, journal: Any) -> None:
    caplog.set_level(logging.INFO, "toolslot")
    graph = create_agent(asking("pay"), [pay], middleware=[DurableToolMiddleware(journal=journal)])
    make_durable(graph)
    assert type(graph.nodes["tools"].bound) is ToolNode
    assert logged(caplog, "made_durable") == ["toolslot.made_durable upgraded=[] already_durable=['tools']"]


# --- nothing to upgrade -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (lambda: StateGraph(MessagesState), "not compiled"),
        (lambda: ToolNode([pay]), "DurableParallelToolNode"),
        (lambda: [pay], "a list, which is no compiled graph"),
        (lambda: pay, "a StructuredTool, which is no compiled graph"),
        (lambda: create_agent(asking("pay"), []), r"nodes are \['model'\].*given no tools"),
        (lambda: react(asking("pay"), []), r"nodes are \['agent'\].*given no tools"),
    ],
    ids=["builder", "node", "list", "tool", "agent without tools", "react agent without tools"],
)
def test_where_nothing_can_be_upgraded_the_error_says_why(given: Any, reason: str) -> None:
    with pytest.raises(InvalidSetting, match=reason):
        make_durable(given())


# --- options for many nodes ---------------------------------------------------------------------------------------------------


def two_agents() -> Any:
    graph = StateGraph(MessagesState)
    refund = tool("refund", description="Refunds.")(lambda i: f"refunded {i}")
    graph.add_node("first", create_agent(asking("pay"), [pay]))
    graph.add_node("second", create_agent(asking("refund"), [refund]))
    graph.add_edge(START, "first").add_edge("first", "second")
    return graph.compile(checkpointer=InMemorySaver())


def test_policies_are_given_for_all_nodes_together(caplog: Any, journal: Any) -> None:
    policies = {"pay": ToolPolicy(on_unknown="ask"), "refund": ToolPolicy(on_unknown="fail")}
    graph = make_durable(two_agents(), journal=journal, policies=policies)
    engines = {path: node.executor._engine() for path, node in durable_nodes(graph).items()}
    assert engines["first/tools"].policy("pay").unknown_rule == "ask"
    assert engines["second/tools"].policy("refund").unknown_rule == "fail"
    assert not logged(caplog, "policy_without_tool")


def test_a_policy_for_a_tool_that_no_node_has_is_reported_once(caplog: Any, journal: Any) -> None:
    make_durable(two_agents(), journal=journal, policies={"pya": ToolPolicy(on_unknown="ask")})
    assert len(logged(caplog, "policy_without_tool")) == 1


def test_all_nodes_share_one_journal_wherever_the_process_goes(tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    graph = make_durable(two_agents(), journal="journal")
    journals = []
    for node in durable_nodes(graph).values():
        journals.append(node.executor.journal)
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert journals[0] is journals[1]
    assert (tmp_path / "journal").is_dir()
    for journal in journals:
        journal.close()


def test_the_default_journal_is_looked_up_at_first_use_and_then_is_the_same_for_all(
    tmp_path: Any, monkeypatch: Any
) -> None:
    graph = make_durable(two_agents())
    first, second = durable_nodes(graph).values()
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "home"))
    journal = first.executor.journal
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "another"))
    assert second.executor.journal is journal
    assert journal.location == str(tmp_path / "home")  # type: ignore[attr-defined]
    for _ in range(2):
        journal.close()


@pytest.mark.parametrize("given", [True, False])
def test_an_address_is_not_taken_for_a_path(given: bool, tmp_path: Any, monkeypatch: Any) -> None:
    address = "nothing://me:secret@host/db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLSLOT_HOME", address)
    graph = make_durable(two_agents(), journal=address if given else None)
    with pytest.raises(InvalidSetting, match="nothing://"):
        _ = next(iter(durable_nodes(graph).values())).executor.journal
    assert [*tmp_path.iterdir()] == []


@pytest.fixture
def busy(journal: Any) -> Any:
    """The nodes of two agents, of which the first is in a call, and what ends the call."""
    inside, release = threading.Event(), threading.Event()

    @tool("pay")
    def slow(i: int) -> str:
        """Pays."""
        inside.set()
        release.wait(20)
        return "paid"

    graph = StateGraph(MessagesState)
    refund = tool("refund", description="Refunds.")(lambda i: f"refunded {i}")
    graph.add_node("first", create_agent(asking("pay", 1), [slow]))
    graph.add_node("second", create_agent(asking("refund", 1), [refund]))
    graph.add_edge(START, "first")
    compiled = make_durable(graph.compile(checkpointer=InMemorySaver()), journal=journal)
    with running(lambda: run(compiled, {"messages": ["pay"]})):
        assert inside.wait(20)
        yield durable_nodes(compiled), release
        release.set()


def test_a_drain_says_whether_all_calls_ended_in_time(busy: Any) -> None:
    nodes, release = busy
    assert nodes.drain(0.01) is False
    release.set()
    assert nodes.drain(20) is True


def test_a_drain_holds_back_every_node_before_it_waits(busy: Any) -> None:
    nodes, release = busy
    with running(nodes.drain):
        assert nodes["second/tools"].executor._draining.wait(5)  # while the call in it still runs
        assert not release.is_set()
        release.set()
