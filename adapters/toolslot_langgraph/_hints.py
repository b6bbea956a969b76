"""What tools show of themselves: what an MCP server says of them, read as policies, and whether they look as if they ran agents.

The annotations of MCP arrive in a tool's metadata: flat (langchain-mcp-adapters), or under `mcp.tool.annotations` (langchain.mcp), in the
protocol's spelling or in snake case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType
from typing import Any, cast

from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from toolslot import ToolPolicy
from toolslot_langgraph._compat import functions_of, has_own_saver, metadata_of, saves_checkpoints
from toolslot_langgraph._reading import mentions, names_of
from toolslot_langgraph._walk import Graph, graphs_in, is_durable, nodes_in, walk

#: by these a graph is run
_RUNS = frozenset({"invoke", "ainvoke", "stream", "astream", "astream_events", "batch", "abatch"})
#: by these a run is given a place of its own among the checkpoints
_PLACES = frozenset({"configurable", "thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map"})

#: what a tool's own code ends at: what they run is their affair
_ENDS = (Pregel, ToolNode, BaseTool)


def hinted_policies(tools: Iterable[BaseTool]) -> dict[str, ToolPolicy]:
    """Policies by tool name, for the tools of which a server says something about a second run."""
    found = {tool.name: ToolPolicy.from_annotations(_annotations(metadata_of(tool))) for tool in tools}
    return {name: policy for name, policy in found.items() if policy is not None}


def may_go_on(tool: BaseTool, around: object) -> bool:
    """Whether, as far as code shows, all that a tool runs are graphs which could go on from their own checkpoints where they run nested,
    and whose calls have slots of their own. Whether they did run nested it does not show.

    Not so where a graph keeps no checkpoints or has a saver of its own, where code names a thread, where a tool node has no slots, or where
    what is `around` the call has graphs too: their checkpoints could be taken for those of the tool's.
    """
    functions = functions_of(tool)
    graphs = [graph for function in functions for graph in _graphs_run_by(function)]
    return (
        bool(graphs)
        and all(_goes_on(graph) for graph in graphs)
        and not any(_names_a_place(function) for function in functions)
        and not graphs_in(walk(around, through=lambda thing: not isinstance(thing, _ENDS)))
    )


def _graphs_run_by(function: object) -> list[Graph]:
    """The graphs a function runs itself, as far as its code shows: those that only its helpers know do not count."""
    if not names_of(function) & _RUNS:
        return []
    ends = (*_ENDS, FunctionType, MethodType)
    return graphs_in(walk(function, through=lambda thing: thing is function or not isinstance(thing, ends)))


def _names_a_place(function: object) -> bool:
    reached = walk(function, through=lambda thing: not isinstance(thing, _ENDS))
    return any(mentions(thing, _PLACES) for _, thing in reached)


def _goes_on(graph: Graph) -> bool:
    inside = list(walk(graph))
    return (
        not has_own_saver(graph)
        and all(saves_checkpoints(part) for part in graphs_in(inside))
        and all(is_durable(node) for node in nodes_in(inside).values())
    )


def _annotations(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    nested: object = metadata
    for key in ("mcp", "tool", "annotations"):
        nested = cast("Mapping[str, object]", nested).get(key) if isinstance(nested, Mapping) else None
    return {**metadata, **cast("Mapping[str, Any]", nested)} if isinstance(nested, Mapping) else metadata
