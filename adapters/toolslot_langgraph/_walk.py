"""Finding the graphs and tool nodes that a graph, a tool or a function can reach. Nothing is called, only looked at."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any, TypeAlias, cast

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from toolslot_langgraph._compat import functions_of, wrappers_of
from toolslot_langgraph._marks import DurableAround, DurableNode
from toolslot_langgraph._reading import COLLECTIONS, attribute, is_data, items_of, named_by, own_attributes

log = logging.getLogger("toolslot")

Step: TypeAlias = "tuple[str, object]"
Graph: TypeAlias = "Pregel[Any, Any, Any, Any]"


def walk(root: object, through: Callable[[object], bool] = lambda _: True) -> Iterator[Step]:
    """Everything `root` can reach, nearest first, each once, with the path to it. Goes on from what `through` lets pass.

    A path names nodes, tools and keys of mappings, with "/" between them. Functions are read, not run: what one names counts as reached,
    whether or not it gets there.
    """
    # The values keep what was made on the way alive: its id may be given away again.
    seen: dict[object, object] = {}
    waiting: deque[Step] = deque([("", root)])
    while waiting:
        path, thing = waiting.popleft()
        if _key(thing) in seen:
            continue
        seen[_key(thing)] = thing
        yield path, thing
        try:
            steps = [step for step in _steps(thing) if not is_data(step[1])] if through(thing) else []
        except Exception as error:  # a proxy, say, that raises when asked for its class
            log.warning(
                "toolslot.not_read path=%r type=%r error=%r", path, type(thing).__name__, type(error).__name__
            )
            continue
        waiting.extend((_joined(path, label), child) for label, child in steps)


def graphs_in(things: Iterable[Step]) -> list[Graph]:
    """The compiled graphs among what was found."""
    return [cast("Graph", thing) for _, thing in things if issubclass(type(thing), Pregel)]


def nodes_in(things: Iterable[Step]) -> dict[str, ToolNode]:
    """The tool nodes among what was found, by path; those that share one are numbered."""
    found: dict[str, ToolNode] = {}
    for path, thing in things:
        if issubclass(type(thing), ToolNode):
            name, count = path, 1
            while name in found:
                count += 1
                name = f"{path}#{count}"
            found[name] = cast("ToolNode", thing)
    return found


def is_durable(node: ToolNode) -> bool:
    """Whether the node's calls have slots: its own, or those of a `DurableToolMiddleware` around them."""
    if isinstance(node, DurableNode):
        return True
    around = walk(wrappers_of(node), through=lambda thing: not isinstance(thing, (Pregel, BaseTool)))
    return any(issubclass(type(thing), DurableAround) for _, thing in around)


def _key(thing: object) -> object:
    # A bound method is made again whenever it is looked at.
    if type(thing) is not MethodType:
        return id(thing)
    method: Any = thing
    return id(method.__self__), id(method.__func__)


def _joined(path: str, label: str) -> str:
    return f"{path}/{label}" if path and label else path or label


def _steps(thing: object) -> Iterator[Step]:
    """What is one step away, with a name for the step where it has one."""
    if isinstance(thing, (type, BaseLanguageModel)):
        return
    if isinstance(thing, Pregel):
        yield from ((name, node.bound) for name, node in cast("Graph", thing).nodes.items())
    elif isinstance(thing, ToolNode):
        yield from thing.tools_by_name.items()
        yield "", wrappers_of(thing)
    elif isinstance(thing, BaseTool):
        yield "", functions_of(thing)
    elif isinstance(thing, COLLECTIONS):
        yield from items_of(cast("object", thing))
    elif isinstance(thing, partial):
        whole = cast("partial[object]", thing)
        yield from items_of((whole.func, whole.args, whole.keywords))
    elif isinstance(thing, MethodType):
        yield "", thing.__self__
        yield from (("", value) for value in named_by(thing))
    elif isinstance(thing, FunctionType):
        yield from (("", value) for value in named_by(thing))
    elif isinstance(thing, Runnable):
        yield from (("", value) for value in own_attributes(cast("object", thing)).values())
    else:
        for name in ("__call__", "__getitem__"):
            if (method := attribute(thing, name)) is not None:
                yield "", method
                yield from (("", value) for value in own_attributes(thing).values())
