"""A process dies while a call is in flight, and the next one has other tools, nodes or middlewares: it finds the same batch."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send

from support.sending import GO, Model, answers, options, records
from toolslot import BatchKey, BatchMismatch, Done, EventKind, NotDone, SlotState, ToolPolicy, UnknownOutcome
from toolslot.journal import BatchState
from toolslot_langgraph import DurableToolMiddleware, make_durable

ASK = ToolPolicy(on_unknown="ask")


class Shop:
    """`pay` has its effect and hangs in the first life; `note` returns."""

    def __init__(self, talk: Any) -> None:
        self.talk = talk
        self.paid, self.noted = 0, 0
        self.hangs = True
        self.inside, self.release = threading.Event(), threading.Event()
        talk.calls = [
            {"name": "pay", "args": {"to": "Bo"}, "id": "c-pay", "type": "tool_call"},
            {"name": "note", "args": {"text": "x"}, "id": "c-note", "type": "tool_call"},
        ]

    def tools(self, *names: str) -> list[Any]:
        return [tool(name)(self._function(name)) for name in names]

    def _function(self, name: str) -> Any:
        def do(to: str = "", text: str = "") -> str:
            """Works."""
            if self._enter(name):
                self.release.wait(20)
            return f"did {name}"

        async def ado(to: str = "", text: str = "") -> str:
            """Works."""
            if self._enter(name):
                await asyncio.to_thread(self.release.wait, 20)
            return f"did {name}"

        return ado if self.talk.asynchronous else do

    def _enter(self, name: str) -> bool:
        if name.startswith("note"):
            self.noted += 1
        if not name.startswith("pay"):
            return False
        self.paid += 1
        self.inside.set()
        return self.hangs

    @contextlib.contextmanager
    def dead(self, graph: Any) -> Generator[None]:
        """The life of this graph, which ends when `pay` is in flight and `note` has returned."""

        def life() -> None:
            with contextlib.suppress(Exception):
                self.talk.run(graph, GO)

        thread = threading.Thread(target=life)
        thread.start()
        assert self.inside.wait(10)
        while not {EventKind.FINISHED, EventKind.FAILED} & {*self.talk.world.events.kinds()}:
            pass
        for journal in self.talk.world.journals:
            journal.close()
        self.hangs = False
        try:
            yield
        finally:
            self.release.set()
            thread.join(20)


class Passing(AgentMiddleware[Any, Any]):
    """A middleware that wraps tool calls and changes nothing."""

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(request)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(request)


def agent(talk: Any, tools: Any, *, wrapped: bool, **settings: Any) -> Any:
    middleware = [Passing()] if wrapped else []
    graph = create_agent(Model(talk=talk), tools, middleware=middleware, checkpointer=talk.saver)
    return make_durable(graph, **options(talk, settings))


def agent_with_middleware(talk: Any, tools: Any, *, wrapped: bool, **settings: Any) -> Any:
    middleware = [DurableToolMiddleware(**options(talk, settings)), *([Passing()] if wrapped else [])]
    return create_agent(Model(talk=talk), tools, middleware=middleware, checkpointer=talk.saver)


def node(talk: Any, tools: Any, *, wrapped: bool, **settings: Any) -> Any:
    if wrapped:
        settings |= {"wrap_tool_call": Passing().wrap_tool_call, "awrap_tool_call": Passing().awrap_tool_call}
    return talk.node(tools, **settings)


def graph(talk: Any, nodes: dict[str, Any], send: Any) -> Any:
    built = StateGraph(MessagesState)
    built.add_node("model", lambda state: {"messages": [Model(talk=talk).invoke(state["messages"])]})
    built.add_edge(START, "model")
    for name, each in nodes.items():
        built.add_node(name, each)
    built.add_conditional_edges("model", send, [*nodes])
    return built.compile(checkpointer=talk.saver)


def sent(talk: Any, tools: Any, *, wrapped: bool, **settings: Any) -> Any:
    def each(state: Any) -> list[Send]:
        return [Send("tools", [call]) for call in state["messages"][-1].tool_calls]

    return graph(talk, {"tools": node(talk, tools, wrapped=wrapped, **settings)}, each)


def at_once(talk: Any, tools: Any, *, wrapped: bool, **settings: Any) -> Any:
    return graph(talk, {"tools": node(talk, tools, wrapped=wrapped, **settings)}, lambda state: "tools")


DOORS = {
    "make_durable": agent,
    "middleware": agent_with_middleware,
    "node, one task a call": sent,
    "node, one task": at_once,
}

#: tools and wrapper before, and after
DEPLOYS: dict[str, tuple[tuple[list[str], bool], tuple[list[str], bool]]] = {
    "another tool removed": ((["pay", "note"], False), (["pay"], False)),
    "another tool renamed": ((["pay", "note"], False), (["pay", "note2"], False)),
    "a tool added": ((["pay", "note"], False), (["pay", "note", "more"], False)),
    "a called tool added": ((["pay"], False), (["pay", "note"], False)),
    "a wrapper added": ((["pay", "note"], False), (["pay", "note"], True)),
    "a wrapper removed": ((["pay", "note"], True), (["pay", "note"], False)),
    "a wrapper added and a tool removed": ((["pay", "note"], False), (["pay"], True)),
    "nothing": ((["pay", "note"], False), (["pay", "note"], False)),
    "the tool removed": ((["pay", "note"], False), (["note"], False)),
    "the tool renamed": ((["pay", "note"], False), (["pay2", "note"], False)),
    "the tool removed and a wrapper added": ((["pay", "note"], False), (["note"], True)),
}
GONE = {name for name in DEPLOYS if name.startswith("the tool")}

doors = pytest.mark.parametrize("door", DOORS)
deploys = pytest.mark.parametrize("deploy", DEPLOYS)
#: one of each kind
kinds = pytest.mark.parametrize("deploy", ["another tool removed", "a wrapper added", *sorted(GONE)])
pytestmark = [
    pytest.mark.pairwise,
    pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited"),
]


@pytest.fixture
def shop(talk: Any) -> Shop:
    return Shop(talk)


@contextlib.contextmanager
def deployed(talk: Any, shop: Shop, door: str, deploy: str, policy: ToolPolicy | None) -> Generator[Any]:
    """The graph after the deploy; the process before it died while `pay` was in flight."""
    settings: dict[str, Any] = {"policies": {"pay": policy}} if policy is not None else {}
    (before, wrapped), (after, wrapped_now) = DEPLOYS[deploy]
    first = DOORS[door](talk, shop.tools(*before), wrapped=wrapped, **settings)
    with shop.dead(first):
        yield DOORS[door](talk, shop.tools(*after), wrapped=wrapped_now, **settings)


def asked(outcome: Any) -> list[str]:
    return [
        question["call_id"]
        for shown in outcome.get("__interrupt__", ())
        for question in shown.value["questions"]
    ]


@doors
@deploys
@pytest.mark.parametrize("keyed", [False, True], ids=["checkpoint", "run key"])
def test_a_call_in_flight_is_asked_about_and_has_no_second_effect(
    talk: Any, shop: Shop, door: str, deploy: str, keyed: bool
) -> None:
    if keyed:
        talk.config["configurable"]["durable_run_key"] = "order-17"
    with deployed(talk, shop, door, deploy, ASK) as after:
        outcome = talk.run(after, None)
        assert asked(outcome) == ["c-pay"]
        (question,) = outcome["__interrupt__"][0].value["questions"]
        outcome = talk.run(after, Command(resume={question["id"]: {"done": "paid by hand"}}))
        said = dict(answers(outcome))
    assert said["c-pay"] == "paid by hand"
    assert (shop.paid, shop.noted) == (1, "note" in DEPLOYS[deploy][0][0])
    assert len(records(talk)) == 1


@pytest.mark.any_release  # which policy holds; that the batch is found is tested above
@doors
@kinds
def test_a_call_in_flight_that_must_fail_fails(talk: Any, shop: Shop, door: str, deploy: str) -> None:
    with (
        deployed(talk, shop, door, deploy, ToolPolicy(on_unknown="fail")) as after,
        pytest.raises(UnknownOutcome),
    ):
        talk.run(after, None)
    assert shop.paid == 1


@pytest.mark.any_release  # which policy holds; that the batch is found is tested above
@doors
@kinds
@pytest.mark.parametrize("done", [True, False])
def test_the_reconciler_of_a_call_in_flight_is_asked_by_the_tools_name(
    talk: Any, shop: Shop, door: str, deploy: str, done: bool
) -> None:
    consulted: list[str] = []

    def reconcile(slot: Any) -> Any:
        consulted.append(slot.tool)
        return Done("paid at the bank") if done else NotDone()

    with deployed(talk, shop, door, deploy, ToolPolicy(reconcile=reconcile)) as after:
        said = dict(answers(talk.run(after, None)))
    assert consulted == ["pay"]
    if done:
        assert said["c-pay"] == "paid at the bank"
    elif deploy in GONE:
        assert "not a valid tool" in said["c-pay"]
    else:
        assert said["c-pay"] == "did pay"
    assert shop.paid == (1 if done or deploy in GONE else 2)


@pytest.mark.any_release  # which policy holds; that the batch is found is tested above
@doors
@kinds
@pytest.mark.parametrize("declared", [False, True], ids=["undeclared", "declared"])
def test_a_call_that_may_run_again_does_unless_its_tool_is_gone(
    talk: Any, shop: Shop, door: str, deploy: str, declared: bool
) -> None:
    policy = ToolPolicy(on_unknown="rerun") if declared else None
    with deployed(talk, shop, door, deploy, policy) as after:
        outcome = talk.run(after, None)
    if deploy in GONE:
        assert asked(outcome) == ["c-pay"]
    else:
        assert dict(answers(outcome))["c-pay"] == "did pay"
    assert shop.paid == (1 if deploy in GONE else 2)
    assert shop.noted == ("note" in DEPLOYS[deploy][0][0]), "its answer is recorded"


@doors
def test_a_call_that_harms_nothing_is_not_asked_about_when_its_tool_is_gone(
    talk: Any, shop: Shop, door: str
) -> None:
    with deployed(talk, shop, door, "the tool removed", ToolPolicy(idempotent=True)) as after:
        said = dict(answers(talk.run(after, None)))
    assert "not a valid tool" in said["c-pay"]
    assert shop.paid == 1


# --- nodes that are cut in two, or made one -----------------------------------------------------------------------------------


def cut(talk: Any, shop: Shop, whole: str, **settings: Any) -> Any:
    """A node for each tool, and a step that gives each its calls: by themselves, or all of them at once."""
    settings = options(talk, settings)
    nodes = {name: talk.node(shop.tools(name), **settings) for name in ("pay", "note")}

    def send(state: Any) -> Any:
        return [Send(call["name"], [call]) for call in state["messages"][-1].tool_calls]

    return graph(talk, nodes, (lambda state: [*nodes]) if whole == "at once" else send)


def merged(talk: Any, shop: Shop, whole: str, **settings: Any) -> Any:
    return (at_once if whole == "at once" else sent)(
        talk, shop.tools("pay", "note"), wrapped=False, **settings
    )


@pytest.mark.parametrize("whole", ["at once", "one by one"])
@pytest.mark.parametrize(
    "order", [(cut, merged), (merged, cut), (cut, cut)], ids=["made one", "cut", "as it is"]
)
def test_two_nodes_that_each_serve_a_part_of_the_response_share_its_batch(
    talk: Any, shop: Shop, whole: str, order: Any
) -> None:
    before, after = order
    with shop.dead(before(talk, shop, whole, policies={"pay": ASK})):
        after = after(talk, shop, whole, policies={"pay": ASK})
        # What comes after the model's answer is decided again, as it is when LangGraph has not saved it.
        after.update_state(talk.config, {"messages": []}, as_node="model")
        outcome = talk.run(after, None)
        assert asked(outcome) == ["c-pay"]
        (question,) = outcome["__interrupt__"][0].value["questions"]
        talk.run(after, Command(resume={question["id"]: {"done": "by hand"}}))
    assert (shop.paid, shop.noted) == (1, 1)
    (record,) = records(talk)
    assert [slot.state for slot in record.slots] == [SlotState.SUCCEEDED] * 2
    assert record.fence.closed


@pytest.mark.parametrize("whole", ["at once", "one by one"])
def test_two_nodes_answer_as_they_do_without_toolslot(talk: Any, shop: Shop, whole: str) -> None:
    shop.hangs = False
    said = sorted(answers(talk.run(cut(talk, shop, whole), GO)))
    assert ("c-pay", "did pay") in said
    assert ("c-note", "did note") in said
    assert len(said) == (4 if whole == "at once" else 2), "each refuses what the other serves"
    assert (shop.paid, shop.noted) == (1, 1)


def in_function(node: Any) -> Any:
    def run(state: Any, config: RunnableConfig) -> Any:
        return node.invoke(state, config)

    async def arun(state: Any, config: RunnableConfig) -> Any:
        return await node.ainvoke(state, config)

    return RunnableLambda(run, arun)


AROUND: dict[str, Any] = {
    "fallbacks": lambda node: node.with_fallbacks([RunnableLambda(lambda state: {"messages": []})]),
    "retries": lambda node: node.with_retry(stop_after_attempt=2),
    "a function": in_function,
}


@pytest.mark.parametrize("around", AROUND)
def test_a_node_leaves_the_calls_of_one_beside_it_alone_whatever_is_around_that(
    talk: Any, shop: Shop, around: str
) -> None:
    shop.hangs = False
    nodes = {name: AROUND[around](talk.node(shop.tools(name))) for name in ("pay", "note")}
    said = sorted(answers(talk.run(graph(talk, nodes, lambda state: [*nodes]), GO)))
    assert [(call_id, text.partition(":")[0]) for call_id, text in said] == [
        ("c-note", "Error"),
        ("c-note", "did note"),
        ("c-pay", "Error"),
        ("c-pay", "did pay"),
    ]
    assert (shop.paid, shop.noted) == (1, 1)


def test_the_calls_that_a_nodes_own_code_shares_out_are_of_one_batch(talk: Any, shop: Shop) -> None:
    shop.hangs = talk.asynchronous = False
    nodes = {name: talk.node(shop.tools(name)) for name in ("pay", "note")}

    def share(state: Any) -> Any:
        response = state["messages"][-1]
        out: list[ToolMessage] = []
        for name, each in nodes.items():
            part = response.model_copy(
                update={"tool_calls": [call for call in response.tool_calls if call["name"] == name]}
            )
            out += each.invoke({"messages": [part]})["messages"]
        return {"messages": out}

    said = answers(talk.run(graph(talk, {"share": share}, lambda state: "share"), GO))
    assert said == [("c-pay", "did pay"), ("c-note", "did note")]
    (record,) = records(talk)
    assert record.fence.closed


# --- calls that other nodes serve ---------------------------------------------------------------------------------------------


def mixed(talk: Any, shop: Shop, **settings: Any) -> Any:
    """A durable node for `pay`, and for `note` one that is not."""
    nodes = {"pay": talk.node(shop.tools("pay"), **settings), "note": ToolNode(shop.tools("note"))}
    built = StateGraph(MessagesState)
    built.add_node("model", lambda state: {"messages": [Model(talk=talk).invoke(state["messages"])]})
    built.add_edge(START, "model")
    for name, each in nodes.items():
        built.add_node(name, each)
        built.add_edge(name, "model")

    def send(state: Any) -> Any:
        found = state["messages"][-1].tool_calls
        return [Send(call["name"], [call]) for call in found] or END

    built.add_conditional_edges("model", send, [*nodes, END])
    return built.compile(checkpointer=talk.saver)


def test_the_response_after_closes_a_batch_of_which_other_nodes_run_some_calls(talk: Any, shop: Shop) -> None:
    shop.hangs = False
    agent = mixed(talk, shop)
    talk.run(agent, GO)
    (record,) = records(talk)
    assert not record.fence.closed, "nobody here knows whether the other call will still be entered"
    talk.run(agent, {"messages": [HumanMessage("once more", id="h-2")]})
    first, second = records(talk)
    assert first.fence.closed
    assert [slot.state for slot in first.slots] == [SlotState.SUCCEEDED, SlotState.RESERVED]
    assert not second.fence.closed
    assert (shop.paid, shop.noted) == (2, 2)


def test_a_batch_with_a_call_in_flight_is_not_closed_by_the_response_after(talk: Any, shop: Shop) -> None:
    with shop.dead(agent(talk, shop.tools("pay", "note"), wrapped=False, policies={"pay": ASK})):
        after = agent(talk, shop.tools("pay", "note"), wrapped=False, policies={"pay": ASK})
        added = ToolMessage("nobody knows", tool_call_id="c-pay", name="pay")
        known = ToolMessage("did note", tool_call_id="c-note", name="note")
        after.update_state(talk.config, {"messages": [added, known]}, as_node="tools")
        talk.run(after, {"messages": [HumanMessage("once more", id="h-2")]})
    first, _ = records(talk)
    assert not first.fence.closed, "an operator may still decide about it"
    assert first.slots[0].state is SlotState.RUNNING


# --- a response that something has changed since ------------------------------------------------------------------------------


class Changing(AgentMiddleware[Any, Any]):
    """Has the model's response changed before its calls are run."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def after_model(self, state: Any, runtime: Any) -> Any:
        message = state["messages"][-1].model_copy(deep=True)
        if not message.tool_calls:
            return None
        if self.how == "removed":
            message.tool_calls = [call for call in message.tool_calls if call["name"] != "pay"]
        else:
            message.tool_calls[0]["args"] = {"to": "Al"}
        return {"messages": [message]}


@pytest.mark.parametrize(("how", "says"), [("removed", "no more"), ("edited", "other arguments")])
def test_a_call_in_flight_that_a_new_middleware_changes_is_refused_with_what_differs(
    talk: Any, shop: Shop, how: str, says: str
) -> None:
    settings: dict[str, Any] = {"policies": {"pay": ASK}}

    def build(*middleware: Any) -> Any:
        built = create_agent(
            Model(talk=talk), shop.tools("pay", "note"), middleware=middleware, checkpointer=talk.saver
        )
        return make_durable(built, **options(talk, dict(settings)))

    with shop.dead(build()):
        after = build(Changing(how))
        # LangGraph is taken back to where it has the model's answer and the middleware is still to come.
        after.update_state(talk.config, {"messages": []}, as_node="model")
        with pytest.raises(BatchMismatch, match=says) as caught:
            talk.run(after, None)
        assert "c-pay" in str(caught.value)
    assert (shop.paid, shop.noted) == (1, 1)


def test_a_person_may_change_a_call_in_flight(talk: Any, shop: Shop) -> None:
    with shop.dead(agent(talk, shop.tools("pay", "note"), wrapped=False, policies={"pay": ASK})):
        after = agent(talk, shop.tools("pay", "note"), wrapped=False, policies={"pay": ASK})
        response = after.get_state(talk.config).values["messages"][1].model_copy(deep=True)
        response.tool_calls[0]["args"] = {"to": "Al"}
        after.update_state(talk.config, {"messages": [response]}, as_node="model")
        said = answers(talk.run(after, None))
    assert said == [("c-pay", "did pay"), ("c-note", "did note")]
    assert shop.paid == 2


def test_a_batch_from_a_journal_of_the_first_format_is_refused_and_a_new_message_is_taken(
    talk: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with shop.dead(agent(talk, shop.tools("pay", "note"), wrapped=False)):
        store = talk.world.store
        ((key, state),) = store.batches.items()
        former = BatchKey(key.run_id, f"tools/{key.batch_id.split('/')[1]}/0123456789ab")
        manifest = replace(state.manifest, key=former, lineage="another rule", specs=state.manifest.specs[:1])
        store.batches = {former: BatchState(manifest, state.fence, state.tenures, state.rows(0))}
        store.lineages = {}
        monkeypatch.setattr(store, "outdated", lambda run_id: [former])
        after = agent(talk, shop.tools("pay", "note"), wrapped=False)
        with pytest.raises(BatchMismatch, match="earlier version"):
            talk.run(after, None)
        assert shop.paid == 1
        talk.calls = [{**call, "id": f"new {call['id']}"} for call in talk.calls]
        talk.run(after, {"messages": [HumanMessage("once more", id="h-2")]})
    assert shop.paid == 2
