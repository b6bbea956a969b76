"""What tracers keep: of live calls what they keep of a plain ToolNode's, and replays beside them, marked."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tracers import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from support.hearing import Flaky, every_form, replay


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
