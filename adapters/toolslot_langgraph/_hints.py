"""What tools show of themselves, read as policies: what an MCP server says of them, and that they run a graph.

The annotations of MCP arrive in a tool's metadata: flat (langchain-mcp-adapters), or under `mcp.tool.annotations` (langchain.mcp), in the
protocol's spelling or in snake case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType
from typing import Any, cast
from weakref import WeakKeyDictionary

from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from toolslot import ToolPolicy
from toolslot_langgraph._compat import functions_of, metadata_of, saves_checkpoints
from toolslot_langgraph._reading import names_of
from toolslot_langgraph._walk import Graph, graphs_in, is_durable, nodes_in, walk

#: by these a graph is run
_RUNS = frozenset({"invoke", "ainvoke", "stream", "astream", "astream_events", "batch", "abatch"})

_known: WeakKeyDictionary[Graph, bool] = WeakKeyDictionary()


def hinted_policies(tools: Iterable[BaseTool]) -> dict[str, ToolPolicy]:
    """Policies by tool name, for the tools of which something is known about a second run."""
    found = {
        tool.name: ToolPolicy.from_annotations(_annotations(metadata_of(tool))) or _nested(tool)
        for tool in tools
    }
    return {name: policy for name, policy in found.items() if policy is not None}


def _nested(tool: BaseTool) -> ToolPolicy | None:
    """Enter a tool that runs graphs again: they go on from their own checkpoints, and the calls inside have slots of their own.

    Not so where a graph keeps no checkpoints, or has a tool node without slots: then a second run is one of everything.
    """
    graphs = [graph for function in functions_of(tool) for graph in _graphs_run_by(function)]
    if not graphs or not all(_goes_on(graph) for graph in graphs):
        return None
    return ToolPolicy(on_unknown="rerun")


def _graphs_run_by(function: object) -> list[Graph]:
    """The graphs a function runs itself, as far as its code shows: those that only its helpers know do not count."""
    if not names_of(function) & _RUNS:
        return []
    ends = (Pregel, ToolNode, BaseTool, FunctionType, MethodType)
    return graphs_in(walk(function, through=lambda thing: thing is function or not isinstance(thing, ends)))


def forget() -> None:
    """Look at graphs anew: nodes have been made durable."""
    _known.clear()


def _goes_on(graph: Graph) -> bool:
    # A middleware asks at every call, and a large graph takes a while to look through.
    known = _known.get(graph)
    if known is None:
        known = _known[graph] = _is_durable_throughout(graph)
    return known


def _is_durable_throughout(graph: Graph) -> bool:
    inside = list(walk(graph))
    return all(saves_checkpoints(part) for part in graphs_in(inside)) and all(
        is_durable(node) for node in nodes_in(inside).values()
    )


def _annotations(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    nested: object = metadata
    for key in ("mcp", "tool", "annotations"):
        nested = cast("Mapping[str, object]", nested).get(key) if isinstance(nested, Mapping) else None
    return {**metadata, **cast("Mapping[str, Any]", nested)} if isinstance(nested, Mapping) else metadata
