"""The same agent through every door: who builds the graph, and who makes its tool calls durable."""

from __future__ import annotations

import warnings
from typing import Any, cast

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition

from support.ledger import Ledger
from toolslot_langgraph import (
    DurableParallelToolNode,
    DurableToolMiddleware,
    durable_tool_calls,
    durable_tool_calls_sync,
    make_durable,
)


class ScriptedModel(BaseChatModel):
    """Asks for all tools at once, then is content. Every question to it is noted."""

    calls: list[dict[str, Any]]
    ledger: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if any(isinstance(message, ToolMessage) for message in messages):
            answer = AIMessage(content="done", id="answer-2")
        else:
            Ledger(self.ledger).note("model")
            answer = AIMessage(content="", tool_calls=[dict(call) for call in self.calls], id="answer-1")
        return ChatResult(generations=[ChatGeneration(message=answer)])


class Passing(AgentMiddleware[Any, Any]):
    """Wraps tool calls, and changes nothing."""

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        return handler(request)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await handler(request)


def build(
    door: str, model: Any, tools: list[StructuredTool], saver: Any, *, wrapped: bool = False, **options: Any
) -> Any:
    """The compiled agent. Doors whose name begins with "plain" are LangGraph alone. `wrapped`: something is around its tool calls."""
    who, _, how = door.partition("+")
    passing = Passing()
    around: Any = (
        {"wrap_tool_call": passing.wrap_tool_call, "awrap_tool_call": passing.awrap_tool_call}
        if wrapped
        else {}
    )
    plain = who == "plain-node" or how
    if who == "function":
        graph = by_hand(model, loop_over(DurableParallelToolNode(tools, **options)), saver)
    elif who.removeprefix("plain-") == "node":
        node = ToolNode(tools, **around) if plain else DurableParallelToolNode(tools, **around, **options)
        graph = by_hand(model, node, saver)
    elif who.removeprefix("plain-") == "agent":
        middleware: list[Any] = [DurableToolMiddleware(**options)] if how == "middleware" else []
        middleware += [passing] if wrapped else []
        graph = create_agent(model, tools, middleware=middleware, checkpointer=saver)
    else:
        given: Any = ToolNode(tools, **around) if how else DurableParallelToolNode(tools, **around, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated, and still what many have
            version: Any = {"react1": "v1", "react2": "v2"}[who]
            graph = create_react_agent(model, given, checkpointer=saver, version=version)
    return make_durable(graph, **options) if how == "make_durable" else graph


def loop_over(tools: DurableParallelToolNode) -> RunnableLambda[Any, Any]:
    """A node that is a function of the user's."""

    def act(state: MessagesState, config: RunnableConfig) -> Any:
        return {"messages": durable_tool_calls_sync(cast("AIMessage", state["messages"][-1]), tools, config)}

    async def aact(state: MessagesState, config: RunnableConfig) -> Any:
        message = cast("AIMessage", state["messages"][-1])
        return {"messages": await durable_tool_calls(message, tools, config)}

    return RunnableLambda(act, aact)


def by_hand(model: Any, node: Any, saver: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("tools", node)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition, {"tools": "tools", END: END})
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver)
