"""The step of the graph in which a task runs: what LangGraph does not promise to tell, so whatever is not known counts as nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from langchain_core.runnables import RunnableConfig

from toolslot_langgraph._compat import configurable
from toolslot_langgraph._loops import loop_of


def edited(config: RunnableConfig) -> bool:
    """Whether the step begins at a state that a person edited: then changed calls are meant. Not so where that is not known."""
    metadata = getattr(loop_of(config), "checkpoint_metadata", None)
    return isinstance(metadata, Mapping) and cast("Mapping[str, object]", metadata).get("source") == "update"


def ended_beside(config: RunnableConfig) -> bool:
    """Whether another task of this node has ended in this step, and its result is kept."""
    tasks = getattr(loop_of(config), "tasks", None)
    own = configurable(config).get("checkpoint_ns")
    node = (config.get("metadata") or {}).get("langgraph_node")
    if not isinstance(tasks, Mapping) or not isinstance(own, str):
        return False
    return any(
        # Most have written nothing yet, and there may be many, each of which asks.
        (writes := getattr(task, "writes", None))
        and getattr(task, "name", None) == node
        and not own.endswith(f":{name}")
        and any(not str(channel).startswith("__") for channel, *_ in writes)
        for name, task in cast("Mapping[str, object]", tasks).items()
    )


def beside(config: RunnableConfig) -> list[object]:
    """What runs in the same step as this task, itself included; empty where that is not known."""
    loop = loop_of(config)
    tasks, nodes = getattr(loop, "tasks", None), getattr(loop, "nodes", None)
    if not isinstance(tasks, Mapping) or not isinstance(nodes, Mapping):
        return []
    names = {getattr(task, "name", None) for task in cast("Mapping[str, object]", tasks).values()}
    return [
        getattr(node, "bound", None)
        for name, node in cast("Mapping[str, object]", nodes).items()
        if name in names
    ]
