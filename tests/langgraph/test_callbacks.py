"""What LangChain's callbacks and tracers hear: of live calls what a plain ToolNode tells, of replayed ones nothing, unless asked for."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException, tool
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.errors import ParentCommand
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode, ToolRuntime
from langgraph.types import Command

from support.sending import GO, Model
from toolslot import Done, EventKind, Retry, ToolPolicy, current_call
from toolslot_langgraph import DurableToolMiddleware, make_durable


class Heard(BaseCallbackHandler):
    """Notes what is told of tools, in order."""

    def __init__(self) -> None:
        self.starts: list[Any] = []
        self.ends: list[Any] = []
        self.errors: list[Any] = []

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.starts.append((serialized, input_str, kwargs))

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.ends.append((output, kwargs))

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append((error, kwargs))

    def told(self) -> dict[str, tuple[Any, str, dict[str, Any], Any]]:
        """By call id: what it was started with, without what differs between any two runs, and its output."""
        outputs = {
            kwargs["run_id"]: (type(output), output.content, kwargs["name"]) for output, kwargs in self.ends
        }
        kept = ("name", "tags", "inputs", "color", "tool_call_id")
        return {
            kwargs["tool_call_id"]: (
                serialized,
                text,
                {key: kwargs.get(key) for key in kept},
                outputs.get(kwargs["run_id"]),
            )
            for serialized, text, kwargs in self.starts
        }

    def metadata(self) -> dict[str, dict[str, Any]]:
        return {kwargs["tool_call_id"]: kwargs["metadata"] for _, _, kwargs in self.starts}


class AsyncHeard(AsyncCallbackHandler):
    """The same, for async runs."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.events.append(f"start {kwargs['tool_call_id']}")

    async def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.events.append(f"end {output.tool_call_id}")


class Traces(BaseTracer):
    """A tracer as LangSmith's and Langfuse's are, which keeps its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)

    def runs(self) -> list[Run]:
        """All, parents first."""
        found, left = [], list(self.roots)
        while left:
            found.append(left.pop(0))
            left.extend(found[-1].child_runs)
        return found

    def tools(self) -> list[Run]:
        return [run for run in self.runs() if run.run_type == "tool"]


class Flaky:
    """Call 2 fails until it is mended. It sees injected values, and notes its idempotency keys."""

    def __init__(self, **settings: Any) -> None:
        self.broken = True
        self.ran: list[int] = []
        self.keys: dict[int, str] = {}
        flaky = self

        @tool
        def work(i: int, state: Annotated[Any, InjectedState], runtime: ToolRuntime) -> str:
            """Works."""
            flaky.ran.append(i)
            if isinstance(i, int) and not flaky.keys.get(i):
                flaky.keys[i] = getattr(_call(), "idempotency_key", "")
            if i == 2 and flaky.broken:
                raise ConnectionError(f"call {i}")
            return f"did {i}"

        self.tool: BaseTool = work.model_copy(
            update={"tags": ["a tag"], "metadata": {"team": "billing"}, **settings}
        )


def _call() -> Any:
    try:
        return current_call()
    except LookupError:
        return None  # a plain ToolNode runs it


def one_node(talk: Any, tools: Any, **options: Any) -> Any:
    return talk.graph(tools, **options)


def one_task_each(talk: Any, tools: Any, **options: Any) -> Any:
    options = {"journal": talk.world.executor().journal, "hooks": [talk.world.events], **options}
    return make_durable(create_agent(Model(talk=talk), tools, checkpointer=talk.saver), **options)


def behind_middleware(talk: Any, tools: Any, **options: Any) -> Any:
    options = {"journal": talk.world.executor().journal, "hooks": [talk.world.events], **options}
    middleware = [DurableToolMiddleware(**options)]
    return create_agent(Model(talk=talk), tools, middleware=middleware, checkpointer=talk.saver)


every_form = pytest.mark.parametrize("form", [one_node, one_task_each, behind_middleware])


def start(talk: Any, form: Any, graph: Any, **config: Any) -> Any:
    return talk.run(graph, {"messages": []} if form is one_node else GO, **config)


def replay(talk: Any, ask: Any, form: Any, *handlers: Any, **options: Any) -> tuple[Flaky, Any]:
    """Calls 0, 1 and 3 have run, and LangGraph knows nothing of them; call 2 failed, and runs now, with the handlers."""
    flaky = Flaky()
    forged = {"state": "forged"}  # a model may name what is injected
    talk.calls = [
        {**call, "args": {**call["args"], **forged}, "type": "tool_call"} for call in ask("work", 4)
    ]
    with pytest.raises(ConnectionError):
        start(talk, form, form(talk, [flaky.tool], **options))
    talk.saver.writes.clear()
    flaky.broken = False
    flaky.ran.clear()
    return flaky, talk.resume(form(talk, [flaky.tool], **options), callbacks=list(handlers))


# --- replays ---------------------------------------------------------------------------------------------------------------------


@every_form
def test_of_a_replayed_call_nothing_is_told(talk: Any, ask: Any, form: Any) -> None:
    heard = Heard()
    flaky, _ = replay(talk, ask, form, heard)
    assert sorted(heard.metadata()) == sorted(f"c{i}" for i in flaky.ran)
    assert "c2" in heard.metadata()


@every_form
def test_when_asked_for_a_replayed_call_is_told_as_the_live_one_was(talk: Any, ask: Any, form: Any) -> None:
    heard, plain = Heard(), Heard()
    flaky, _ = replay(talk, ask, form, heard, replay_callbacks=True)
    asked = [AIMessage("", tool_calls=talk.calls, id="a1")]
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([flaky.tool]))
    graph.add_edge(START, "tools")
    graph.compile().invoke({"messages": asked}, {"callbacks": [plain]})
    told, live = heard.told(), plain.told()
    assert sorted(told) == ["c0", "c1", "c2", "c3"]
    for call_id, (serialized, text, kwargs, output) in live.items():
        ours = told[call_id]
        assert (ours[0], ours[1], ours[3]) == (serialized, text, output)
        tags, our_tags = kwargs.pop("tags"), ours[2].pop("tags")
        assert "a tag" in tags
        assert sorted(our_tags) == sorted(tags)
        assert ours[2] == kwargs
        assert set(kwargs["inputs"]) == {"i"}
    assert heard.errors == []


@every_form
def test_a_replay_is_marked_with_the_facts_of_the_attempt_that_ran(talk: Any, ask: Any, form: Any) -> None:
    heard = Heard()
    flaky, _ = replay(talk, ask, form, heard, replay_callbacks=True)
    finished = {event.call_id: event for event in talk.world.events.calls(EventKind.FINISHED)}
    replayed = [i for i in (0, 1, 3) if i not in flaky.ran]
    assert replayed
    for i in replayed:
        facts, event = heard.metadata()[f"c{i}"], finished[f"c{i}"]
        assert facts["durable_replayed"] is True
        assert facts["durable_state"] == "succeeded"
        assert facts["durable_attempt"] == 1
        assert facts["durable_idempotency_key"] == flaky.keys[i]
        began, ended = (datetime.fromisoformat(facts[f"durable_{end}_at"]) for end in ("started", "ended"))
        assert began.utcoffset() == timedelta(0)
        assert (ended - began).total_seconds() == pytest.approx(event.latency, abs=1e-5)
        assert facts["team"] == "billing"
        assert facts["langgraph_node"] == "tools"
    assert not [key for key in heard.metadata()["c2"] if key.startswith("durable_")]


@every_form
def test_the_tools_stream_is_complete_when_replays_are_told(talk: Any, ask: Any, form: Any) -> None:
    flaky = Flaky()
    talk.calls = [{**call, "type": "tool_call"} for call in ask("work", 4)]
    with pytest.raises(ConnectionError):
        start(talk, form, form(talk, [flaky.tool], replay_callbacks=True))
    talk.saver.writes.clear()
    flaky.broken = False
    graph = form(talk, [flaky.tool], replay_callbacks=True)

    async def collect() -> list[Any]:
        return [chunk async for chunk in graph.astream(None, talk.config, stream_mode="tools")]

    found = (
        asyncio.run(collect())
        if talk.asynchronous
        else list(graph.stream(None, talk.config, stream_mode="tools"))
    )
    for i in range(4):
        events = [each for each in found if each["tool_call_id"] == f"c{i}"]
        assert [each["event"] for each in events] == ["tool-started", "tool-finished"]
        assert events[0]["input"] == {"i": i}
        assert events[1]["output"].content == f"did {i}"


@every_form
def test_the_events_of_langchain_are_complete_when_replays_are_told(talk: Any, ask: Any, form: Any) -> None:
    talk.asynchronous = True
    flaky = Flaky()
    talk.calls = [{**call, "type": "tool_call"} for call in ask("work", 4)]
    with pytest.raises(ConnectionError):
        start(talk, form, form(talk, [flaky.tool], replay_callbacks=True))
    talk.saver.writes.clear()
    flaky.broken = False
    graph = form(talk, [flaky.tool], replay_callbacks=True)

    async def collect() -> list[Any]:
        return [each async for each in graph.astream_events(None, talk.config, version="v2")]

    found = [each for each in asyncio.run(collect()) if each["event"].startswith("on_tool")]
    for kind in ("on_tool_start", "on_tool_end"):
        inputs = [each["data"]["input"]["i"] for each in found if each["event"] == kind]
        assert sorted(inputs) == [0, 1, 2, 3]
    marks = {each["data"]["input"]["i"] for each in found if each["metadata"].get("durable_replayed")}
    assert 2 not in marks
    assert marks


def test_async_callbacks_are_awaited_in_order(talk: Any, ask: Any) -> None:
    talk.asynchronous = True
    heard = AsyncHeard()
    replay(talk, ask, one_node, heard, replay_callbacks=True)
    for i in range(4):
        assert [event for event in heard.events if event.endswith(f"c{i}")] == [f"start c{i}", f"end c{i}"]


# --- what is told of other outcomes ------------------------------------------------------------------------------------------------


def again(talk: Any, tools: Any, heard: Any, **options: Any) -> Any:
    """Run the node's calls, and once more with the handler: the second time nothing runs."""
    config: Any = {"configurable": {**talk.config["configurable"], "durable_run_key": "r"}}
    asked = {"messages": [AIMessage("", tool_calls=talk.calls, id="a1")]}

    def run(**more: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("tools", talk.node(tools, replay_callbacks=True, **options))
        graph.add_edge(START, "tools")
        compiled = graph.compile()
        settings = {**config, **more}
        return (
            asyncio.run(compiled.ainvoke(asked, settings))
            if talk.asynchronous
            else compiled.invoke(asked, settings)
        )

    run()
    return run(callbacks=[heard])


def test_an_error_message_is_an_output_like_any_other(talk: Any, ask: Any) -> None:
    @tool
    def refuses(i: int) -> str:
        """Refuses."""
        raise ToolException("not allowed")

    refuses.handle_tool_error = True
    heard = Heard()
    talk.calls = ask("refuses", 1)
    again(talk, [refuses], heard)
    ((output, _),) = heard.ends
    assert (output.status, output.content, heard.errors) == ("error", "not allowed", [])


def test_a_tool_the_node_does_not_have_is_not_told_of_as_live(talk: Any, ask: Any) -> None:
    @tool
    def work(i: int) -> str:
        """Works."""
        return "did"

    heard = Heard()
    talk.calls = ask("nowhere", 1)
    assert again(talk, [work], heard)["messages"][-1].status == "error"
    assert heard.starts == []


def test_a_hand_over_to_the_parent_is_told_as_it_is_live(talk: Any, ask: Any) -> None:
    @tool
    def hands_over(i: int) -> str:
        """Raises a command to the parent, as a nested graph does."""
        raise ParentCommand(Command(graph="parent|x", goto="other"))

    heard = Heard()
    node = talk.node([hands_over], replay_callbacks=True)
    calls = [{**call, "type": "tool_call"} for call in ask("hands_over", 1)]

    def inner(state: Any, config: Any) -> Any:
        return node.invoke(state, config)

    for callbacks in ([], [heard]):
        graph = StateGraph(MessagesState)
        graph.add_node("tools", node)
        graph.add_edge(START, "tools")
        config: Any = {"configurable": {"durable_run_key": "r"}, "callbacks": callbacks}
        with pytest.raises(ParentCommand):
            graph.compile().invoke({"messages": [AIMessage("", tool_calls=calls, id="a1")]}, config)
    assert [type(error) for error, _ in heard.errors] == [ParentCommand]
    assert heard.metadata()["c0"]["durable_replayed"] is True


def test_a_recorded_failure_is_told_by_what_the_agent_gets(talk: Any, ask: Any) -> None:
    ran: list[int] = []

    @tool
    def breaks(i: int) -> str:
        """Fails."""
        ran.append(i)
        raise ConnectionError("gone")

    talk.calls = ask("breaks", 1)
    policy = ToolPolicy(on_failed="replay")
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([breaks], policies={"breaks": policy}))
    heard = Heard()
    graph = talk.graph([breaks], policies={"breaks": policy}, handle_tool_errors=True, replay_callbacks=True)
    talk.resume(graph, callbacks=[heard])
    ((output, _),) = heard.ends
    assert isinstance(output, ToolMessage)
    assert output.status == "error"
    assert heard.metadata()["c0"]["durable_state"] == "failed"
    assert len(ran) == 1


@every_form
def test_what_a_reconciler_finds_after_a_failed_attempt_is_a_message_marked_as_a_replay(
    talk: Any, ask: Any, form: Any
) -> None:
    @tool
    def pays(i: int) -> str:
        """Pays, and does not hear of it."""
        raise TimeoutError

    heard = Heard()
    talk.calls = [{**call, "type": "tool_call"} for call in ask("pays", 1)]
    policy = ToolPolicy(reconcile=lambda slot: Done("paid"), retry=Retry(stop=2))
    graph = form(talk, [pays], policies={"pays": policy}, replay_callbacks=True)
    (message,) = (
        each
        for each in start(talk, form, graph, callbacks=[heard])["messages"]
        if isinstance(each, ToolMessage)
    )
    assert (message.content, message.name, message.tool_call_id) == ("paid", "pays", "c0")
    assert message.response_metadata["toolslot"] == {"replayed": True}
    # Its code ran here, and that was told.
    assert ([type(error) for error, _ in heard.errors], heard.ends) == ([TimeoutError], [])


def test_a_handler_that_may_raise_stops_the_run_and_loses_no_result(talk: Any, ask: Any, said: Any) -> None:
    class Strict(Heard):
        raise_error = True

        def on_tool_end(self, output: Any, **kwargs: Any) -> None:
            if kwargs["name"] == "work" and output.tool_call_id == "c1":
                raise RuntimeError("the tracer is strict")

    with pytest.raises(RuntimeError, match="strict"):
        replay(talk, ask, one_node, Strict(), replay_callbacks=True)
    flaky = Flaky()
    assert said(talk.resume(talk.graph([flaky.tool]))) == [f"did {i}" for i in range(4)]
    assert flaky.ran == []


# --- a tracer ------------------------------------------------------------------------------------------------------------------------


def shape(run: Run) -> Any:
    """A run without what differs between any two runs."""
    volatile = ("checkpoint_ns", "thread_id", "langgraph_checkpoint_ns")
    metadata = {
        key: value for key, value in (run.extra or {}).get("metadata", {}).items() if key not in volatile
    }
    return (
        run.run_type,
        run.name,
        sorted(run.tags or []),
        metadata if run.run_type == "tool" else None,
        run.inputs if run.run_type == "tool" else None,
        (run.outputs or {})["output"].content if run.run_type == "tool" else None,
        sorted((shape(child) for child in run.child_runs), key=repr),
    )


def test_a_tracer_sees_live_calls_as_it_sees_those_of_a_plain_node(talk: Any, ask: Any) -> None:
    flaky = Flaky()
    flaky.broken = False
    talk.calls = [{**call, "type": "tool_call"} for call in ask("work", 4)]

    def traced(node: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=talk.calls, id="a1")]})
        graph.add_node("tools", node)
        graph.add_edge(START, "model")
        graph.add_edge("model", "tools")
        traces = Traces()
        talk.start(graph.compile(checkpointer=type(talk.saver)()), callbacks=[traces])
        return [shape(run) for run in traces.roots]

    expected = traced(ToolNode([flaky.tool]))
    assert "did 3" in repr(expected)
    assert traced(talk.node([flaky.tool], replay_callbacks=True, stream_events=True)) == expected


@every_form
def test_a_tracer_sees_a_replay_beside_the_live_call_with_its_mark_and_its_output(
    talk: Any, ask: Any, form: Any
) -> None:
    traces = Traces()
    flaky, _ = replay(talk, ask, form, traces, replay_callbacks=True)
    runs = {
        run.inputs["i"] if "i" in run.inputs else int(run.inputs["input"][-2]): run for run in traces.tools()
    }
    assert sorted(runs) == [0, 1, 2, 3]
    for i, run in runs.items():
        mark = (run.extra or {})["metadata"].get("durable_replayed")
        assert mark is (None if i in flaky.ran else True)
        assert run.error is None
        assert (run.outputs or {})["output"].content == f"did {i}"
        replayed = (run.outputs or {})["output"].response_metadata.get("toolslot")
        assert replayed == (None if i in flaky.ran else {"replayed": True})
    parents = {run.id: run.name for run in traces.runs()}
    assert {parents[run.parent_run_id] for run in runs.values()} == {"tools"}
