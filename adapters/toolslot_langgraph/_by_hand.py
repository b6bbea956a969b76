"""Durable tool calls for nodes that are written by hand, as in LangGraph's quickstarts: a loop over the calls of the last message."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.types import Command

from toolslot import InvalidSetting
from toolslot_langgraph._compat import read_channel, with_runtime
from toolslot_langgraph._node import DurableParallelToolNode

#: tools, or a node that has them together with the options
Tools: TypeAlias = "Sequence[BaseTool | Callable[..., Any]] | DurableParallelToolNode"
#: what a call of a tool gives: a message, or the command that its tool returned
ToolOutput: TypeAlias = "ToolMessage | Command[Any]"

_MESSAGES = "messages"


async def durable_tool_calls(
    message: AIMessage,
    tools: Tools,
    config: RunnableConfig | None = None,
    *,
    state: Mapping[str, Any] | None = None,
) -> list[ToolOutput]:
    """Run the calls that a message asks for, at once and durably, and give their tool messages in the model's order.

    In place of the loop over `message.tool_calls` in a node or workflow of your own. It does what a `DurableParallelToolNode` does there:
    the journal, policies, limits, questions to a person, and the wait for the saver before the first call. Code of yours before it repeats
    when the node is entered again. A `Command` that a tool returns stands in its place, for your node to return.

    Args:
        message: The model's answer.
        tools: A `DurableParallelToolNode`, made once, with the options that you want; or tools, for the default options.
        config: The config of your node. Default: the one that it runs under, which Python 3.10 does not tell in async code.
        state: The state of your graph, for tools that have it injected. Default: they see the messages alone.

    Raises:
        Exception: what a `ToolNode` with these tools raises.
    """
    node, given, config = _prepared(message, tools, config, state)
    return _outputs(await node.ainvoke(given, config))


def durable_tool_calls_sync(
    message: AIMessage,
    tools: Tools,
    config: RunnableConfig | None = None,
    *,
    state: Mapping[str, Any] | None = None,
) -> list[ToolOutput]:
    """As `durable_tool_calls`, for nodes and tasks that are not async."""
    node, given, config = _prepared(message, tools, config, state)
    return _outputs(node.invoke(given, config))


def _prepared(
    message: AIMessage, tools: Tools, config: RunnableConfig | None, state: Mapping[str, Any] | None
) -> tuple[DurableParallelToolNode, Any, RunnableConfig]:
    config = with_runtime(ensure_config(config))
    node = tools if isinstance(tools, DurableParallelToolNode) else _node_of(tools)
    found: object = state.get(_MESSAGES) if state is not None else read_channel(config, _MESSAGES)
    messages = _up_to(message, found)
    return node, messages if state is None else {**state, _MESSAGES: messages}, config


def _up_to(message: AIMessage, conversation: object) -> list[Any]:
    """The conversation to this message. What went before it tells whether the calls of earlier ones are answered."""
    found = cast("Sequence[Any]", conversation) if isinstance(conversation, (list, tuple)) else ()
    for position in range(len(found) - 1, -1, -1):
        other = found[position]
        if other is message or (message.id is not None and getattr(other, "id", None) == message.id):
            return [*found[:position], message]
    return [message]


def _outputs(output: object) -> list[ToolOutput]:
    found: list[ToolOutput] = []
    for item in cast("list[object]", output) if isinstance(output, list) else [output]:
        if isinstance(item, Mapping):
            found += cast("Mapping[str, list[ToolOutput]]", item)[_MESSAGES]
        elif isinstance(item, list):
            found += cast("list[ToolOutput]", item)
        else:
            found.append(cast("ToolOutput", item))
    return found


#: nodes with the default options, by their tools. A few: who gives tools makes the list where the node is written.
_nodes: deque[tuple[Sequence[object], DurableParallelToolNode]] = deque(maxlen=16)


def _node_of(tools: Sequence[BaseTool | Callable[..., Any]]) -> DurableParallelToolNode:
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSetting(
            f"tools= is a {type(tools).__name__}: give a list of tools, or a DurableParallelToolNode with the options that you want."
        )
    own = [*tools]
    for known, node in [*_nodes]:
        if len(known) == len(own) and all(one is other for one, other in zip(known, own, strict=True)):
            return node
    node = DurableParallelToolNode(own)
    _nodes.append((own, node))
    return node
