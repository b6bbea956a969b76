"""The durable tool nodes of a graph, for those who operate it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from typing_extensions import override

from toolslot_langgraph._node import DurableParallelToolNode
from toolslot_langgraph._walk import nodes_in, walk


class DurableNodes(Mapping[str, DurableParallelToolNode]):
    """Durable tool nodes by their path in a graph. Each has its `executor`, and that its `journal`."""

    def __init__(self, nodes: Mapping[str, DurableParallelToolNode]) -> None:
        self._nodes = dict(nodes)

    def drain(self, timeout: float | None = None) -> bool:
        """Start no more calls in any of the nodes and wait for those that run: for SIGTERM. Whether all ended within `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        executors = [node.executor for node in self.values()]
        for executor in executors:
            executor.drain(0)  # first let none start any more, then wait
        left = [
            executor.drain(None if end is None else max(0, end - time.monotonic())) for executor in executors
        ]
        return all(left)

    @override
    def __getitem__(self, path: str) -> DurableParallelToolNode:
        return self._nodes[path]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    @override
    def __len__(self) -> int:
        return len(self._nodes)

    @override
    def __repr__(self) -> str:
        return f"DurableNodes({[*self._nodes]})"


def durable_nodes(graph: object) -> DurableNodes:
    """The durable tool nodes that a graph reaches, by path, such as "tools" or "tools/research/tools": nodes and tools on the way."""
    nodes = nodes_in(walk(graph))
    return DurableNodes(
        {path: node for path, node in nodes.items() if isinstance(node, DurableParallelToolNode)}
    )
