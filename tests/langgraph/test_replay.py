"""After a failure that was no crash: what is recorded replays, the rest runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent
from langgraph.types import RetryPolicy, Send

from support.flaky import Flaky
from toolslot import EventKind, ToolPolicy
from toolslot_langgraph import DurableParallelToolNode


def test_case_12_one_of_five_raises_and_the_other_four_do_not_run_again(
    talk: Any, ask: Any, said: Any
) -> None:
    flaky = Flaky()
    talk.calls = ask("work", 5)
    with pytest.raises(ConnectionError, match="call 2"):
        talk.start(talk.graph([flaky.tool]))
    assert sorted(flaky.ran) == [0, 1, 2, 3, 4]
    flaky.ran.clear()
    flaky.broken = False
    assert said(talk.resume(talk.graph([flaky.tool]))) == [f"did {i}" for i in range(5)]
    assert flaky.ran == [2]
    assert talk.asked == 1


def test_the_first_error_in_call_order_surfaces_whoever_raised_first(talk: Any, ask: Any) -> None:
    async def late(i: int) -> str:
        """Raises in reverse order."""
        await asyncio.sleep(0)
        raise ValueError(f"call {i}")

    def now(i: int) -> str:
        """Raises."""
        raise ValueError(f"call {i}")

    fails = tool("fails")(late if talk.asynchronous else now)
    talk.calls = ask("fails", 4)
    with pytest.raises(ValueError, match="call 0"):
        talk.start(talk.graph([fails]))


def test_a_node_retry_runs_only_what_failed(talk: Any, ask: Any, said: Any) -> None:
    flaky = Flaky()
    talk.calls = ask("work", 5)

    def mend(error: Exception) -> bool:
        flaky.broken = False
        return True

    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=talk.calls)]})
    graph.add_node(
        "tools", talk.node([flaky.tool]), retry_policy=RetryPolicy(retry_on=mend, initial_interval=0.001)
    )
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    assert len(said(talk.start(graph.compile(checkpointer=talk.saver)))) == 5
    assert sorted(flaky.ran) == [0, 1, 2, 2, 3, 4]


def test_a_replayed_message_says_so_and_a_live_one_does_not(talk: Any, ask: Any) -> None:
    flaky = Flaky()
    talk.calls = ask("work", 3)
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([flaky.tool]))
    flaky.broken = False
    messages = talk.resume(talk.graph([flaky.tool]))["messages"][1:]
    marks = [message.response_metadata.get("toolslot") for message in messages]
    assert marks == [{"replayed": True}, {"replayed": True}, None]


def test_case_35_callbacks_and_tool_events_come_once_for_a_call_that_is_replayed(talk: Any, ask: Any) -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    class Count(BaseCallbackHandler):
        started: list[str] = []

        def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
            self.started.append(input_str)

    counter, flaky = Count(), Flaky()
    counter.started = []
    talk.calls = ask("work", 5)
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([flaky.tool]), callbacks=[counter])
    flaky.broken = False
    talk.resume(talk.graph([flaky.tool]), callbacks=[counter])
    assert len(counter.started) == 6


def test_a_wrapper_is_not_entered_for_a_replayed_call(talk: Any, ask: Any, said: Any) -> None:
    flaky, wrapped = Flaky(), []

    def wrap(request: Any, execute: Callable[[Any], Any]) -> Any:
        wrapped.append(request.tool_call["args"]["i"])
        return execute(request)

    async def awrap(request: Any, execute: Callable[[Any], Any]) -> Any:
        wrapped.append(request.tool_call["args"]["i"])
        return await execute(request)

    talk.calls = ask("work", 4)
    settings = {"wrap_tool_call": wrap, "awrap_tool_call": awrap, "handle_tool_errors": False}
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([flaky.tool], **settings))
    wrapped.clear()
    flaky.broken = False
    assert len(said(talk.resume(talk.graph([flaky.tool], **settings)))) == 4
    assert wrapped == [2]


def test_retries_by_a_wrapper_are_one_slot(talk: Any, ask: Any) -> None:
    tries: list[int] = []

    @tool
    def work(i: int) -> str:
        """Succeeds at the third try."""
        tries.append(i)
        if len(tries) < 3:
            raise ConnectionError
        return "at last"

    def again(request: Any, execute: Callable[[Any], Any]) -> Any:
        for _ in range(2):
            try:
                return execute(request)
            except ConnectionError:
                pass
        return execute(request)

    talk.calls = ask("work", 1)
    talk.start(talk.graph([work], wrap_tool_call=again, handle_tool_errors=False))
    assert len(tries) == 3
    assert talk.world.events.kinds(0).count(EventKind.STARTED) == 1


def test_an_error_that_became_an_answer_is_replayed_as_that_answer(talk: Any) -> None:
    flaky = Flaky()

    @tool
    def declines() -> str:
        """Raises what the node turns into an answer."""
        flaky.ran.append(-1)
        raise ValueError("declined")

    talk.calls = [{"name": "declines", "args": {}, "id": "d"}, {"name": "work", "args": {"i": 2}, "id": "w"}]
    settings: dict[str, Any] = {"handle_tool_errors": ValueError}
    with pytest.raises(ConnectionError):
        talk.start(talk.graph([flaky.tool, declines], **settings))
    flaky.broken = False
    found = talk.resume(talk.graph([flaky.tool, declines], **settings))["messages"][1]
    assert (found.status, "declined" in found.content) == ("error", True)
    assert flaky.ran.count(-1) == 1


def test_return_direct_is_seen_on_replayed_messages(talk: Any) -> None:
    ran: list[int] = []
    broken = [True]

    @tool(return_direct=True)
    def direct(i: int) -> str:
        """Answers the user."""
        ran.append(i)
        if i == 1 and broken[0]:
            raise ConnectionError
        return f"direct {i}"

    talk.calls = [{"name": "direct", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in range(2)]

    from langchain_core.language_models import BaseChatModel
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Scripted(BaseChatModel):
        asked: int = 0

        @property
        def _llm_type(self) -> str:
            return "scripted"

        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

        def _generate(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> ChatResult:
            self.asked += 1
            return ChatResult(generations=[ChatGeneration(message=AIMessage("", tool_calls=talk.calls))])

    model = Scripted()

    def agent() -> Any:
        with pytest.warns(DeprecationWarning, match="create_react_agent"):
            return create_react_agent(model, talk.node([direct]), checkpointer=talk.saver, version="v1")

    with pytest.raises(ConnectionError):
        talk.start(agent())
    broken[0] = False
    outcome = talk.resume(agent())
    assert [m.content for m in outcome["messages"] if isinstance(m, ToolMessage)] == ["direct 0", "direct 1"]
    assert model.asked == 1, "the agent ends with the tools' answers"
    assert ran.count(0) == 1


def test_one_task_per_call_is_protected_too(talk: Any, ask: Any, said: Any) -> None:
    flaky = Flaky()
    talk.calls = ask("work", 4)

    def agent() -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node(
            "model",
            lambda state: {
                "messages": [AIMessage("", tool_calls=[{"type": "tool_call", **c} for c in talk.calls])]
            },
        )
        graph.add_node("tools", talk.node([flaky.tool]))
        graph.add_edge(START, "model")
        graph.add_conditional_edges(
            "model", lambda s: [Send("tools", [c]) for c in s["messages"][-1].tool_calls], ["tools"]
        )
        return graph.compile(checkpointer=talk.saver)

    with pytest.raises(ConnectionError):
        talk.start(agent())
    done = {i for i in range(4) if any(e.index == 0 for e in talk.world.events.calls(EventKind.FINISHED))}
    assert done
    finished = len(talk.world.events.calls(EventKind.FINISHED))
    flaky.broken = False
    flaky.ran.clear()
    assert said(talk.resume(agent())) == [f"did {i}" for i in range(4)]
    assert len(flaky.ran) == 4 - finished


def test_a_plain_tool_node_runs_all_of_them_again(talk: Any, ask: Any) -> None:
    """What the tests above protect from; should this ever change, the promise is no longer needed."""
    flaky = Flaky()
    talk.calls = ask("work", 5)

    def agent() -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=talk.calls)]})
        graph.add_node("tools", ToolNode([flaky.tool]))
        graph.add_edge(START, "model")
        graph.add_edge("model", "tools")
        return graph.compile(checkpointer=talk.saver)

    with pytest.raises(ConnectionError):
        talk.start(agent())
    flaky.broken = False
    flaky.ran.clear()
    talk.resume(agent())
    assert sorted(flaky.ran) == [0, 1, 2, 3, 4]


def test_a_policy_for_a_tool_the_node_does_not_have_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "toolslot"):
        DurableParallelToolNode([Flaky().tool], policies={"werk": ToolPolicy()})
    assert "werk" in caplog.text
