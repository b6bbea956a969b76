"""Graphs that are built already: their tool nodes become durable in place."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from types import new_class
from typing import Any, TypeVar, cast

from langchain_core.runnables import Runnable
from langgraph.graph import StateGraph
from langgraph.prebuilt import ToolNode
from typing_extensions import Unpack, override

from toolslot import InvalidSetting
from toolslot.journal import journal_location
from toolslot_langgraph._compat import rebind, runs_its_own_methods, wrappers_of
from toolslot_langgraph._node import DurableParallelToolNode
from toolslot_langgraph._passing import let_pass, tries
from toolslot_langgraph._settings import DurableOptions, Settings
from toolslot_langgraph._walk import graphs_in, is_durable, nodes_in, walk

G = TypeVar("G")

log = logging.getLogger("toolslot")
_upgrading = threading.Lock()


def make_durable(graph: G, **options: Unpack[DurableOptions]) -> G:
    """Make every tool node that a compiled graph reaches a `DurableParallelToolNode`, in place, and return the graph.

    For `create_agent`, `create_react_agent` and any `StateGraph`, once it is compiled and before it runs. Reached are its nodes and
    subgraphs, and the graphs that node functions and tools hold or name: in closures and globals, in attributes, in dicts and lists. What
    they are given only when they run is not reached. The log says what was upgraded; `durable_nodes(graph)` gives the nodes.

    Nodes that are durable already, by an earlier call, on their own or through `DurableToolMiddleware`, stay as they are, with the options
    they have.

    Args:
        graph: The compiled graph, or a runnable around it.
        **options: See `DurableOptions`; they hold for all nodes, which share one journal. A relative path is taken from where the process
            is now.

    Raises:
        InvalidSetting: an option means nothing, or there is no tool node, or one that cannot be upgraded. Nothing has been changed.
    """
    settings = Settings(**options)
    if settings.journal is None:
        settings = replace(settings, journal=_Home())
    elif isinstance(settings.journal, (str, os.PathLike)):
        settings = replace(settings, journal=journal_location(settings.journal))
    with _upgrading:
        nodes = _tool_nodes(graph)
        plain = {path: node for path, node in nodes.items() if not is_durable(node)}
        _upgrade(plain, _around(graph), settings)
    _tell(nodes, plain, settings, options.keys())
    return graph


class _Home(os.PathLike[str]):
    """Where the journal is by default: looked up when the first node opens it, and the same for all of them from then on."""

    @cached_property
    def _path(self) -> str:
        return journal_location()

    @override
    def __fspath__(self) -> str:
        return self._path


def _tool_nodes(graph: object) -> dict[str, ToolNode]:
    """The tool nodes that a compiled graph reaches.

    Raises:
        InvalidSetting: it is no compiled graph, or reaches none.
    """
    if isinstance(graph, StateGraph):
        raise InvalidSetting(
            "make_durable was given a StateGraph that is not compiled yet, so it is not what will run: give it what compile() returns,"
            " make_durable(builder.compile(checkpointer=...))."
        )
    if isinstance(graph, ToolNode):
        raise InvalidSetting(
            "make_durable was given a ToolNode, and upgrades compiled graphs: give it the graph this node is in, or make the node a"
            " DurableParallelToolNode(tools, ...) from the start."
        )
    thing: object = graph
    found = list(walk(thing)) if issubclass(type(thing), Runnable) else []
    graphs = graphs_in(found)
    if not graphs:
        raise InvalidSetting(
            f"make_durable was given a {type(graph).__name__}, which is no compiled graph and holds none, so there is nothing to upgrade."
            " Give it what create_agent(...), create_react_agent(...) or StateGraph.compile(...) returns. A graph on a server is upgraded"
            " there."
        )
    nodes = nodes_in(found)
    if not nodes:
        names = [name for name in graphs[0].nodes if name != "__start__"]
        raise InvalidSetting(
            f"make_durable found no ToolNode in this graph, whose nodes are {names}, nor in what they reach: there is nothing to upgrade."
            " An agent that was given no tools has none. Tools that your own code calls it cannot see: have a ToolNode run them, or a"
            " DurableExecutor."
        )
    return nodes


def _around(graph: object) -> list[object]:
    """The fallbacks and retries around tool nodes: to them a question to a person would be a failure."""
    return [thing for _, thing in walk(graph) if tries(thing) and nodes_in(walk(thing))]


def _upgrade(nodes: Mapping[str, ToolNode], around: Sequence[object], settings: Settings) -> None:
    """Upgrade all of the nodes and what is around them, or nothing.

    Raises:
        InvalidSetting: one cannot be upgraded.
    """
    things: list[object] = [*nodes.values(), *around]
    before = [(thing, type(thing), dict(vars(thing))) for thing in things]
    try:
        for path, node in nodes.items():
            _check(path, node)
            cast("Any", node).__class__ = _durable(type(node), path)
            rebind(node)
        for (path, node), (_, _, state) in zip(nodes.items(), before, strict=False):
            cast("Any", node)._protect(settings, alone=False)
            _check_names(path, node, state)
        for thing in around:
            let_pass(thing)
    except BaseException:
        for thing, kind, state in before:
            object.__setattr__(thing, "__class__", kind)
            vars(thing).clear()
            vars(thing).update(state)
        raise


def _check(path: str, node: ToolNode) -> None:
    if not runs_its_own_methods(node):
        raise InvalidSetting(
            f"the node {path!r}, a {type(node).__name__}, cannot be upgraded: it does not run its class's _func and _afunc with `config`"
            " and `runtime`, so something stands in their place (an instrumentation, say) that would be lost. Call make_durable before"
            " that, or make the node a DurableParallelToolNode from the start. Nothing was changed."
        )


def _check_names(path: str, node: ToolNode, before: Mapping[str, object]) -> None:
    """Refuse a node of a user's class in which what was added has covered something of its own."""
    now = vars(node)
    kinds = [kind for kind in type(node).__mro__ if kind not in DurableParallelToolNode.__mro__]
    theirs = {name for kind in kinds[1:] for name in vars(kind)}  # the first is the class made here
    ours = {name for name in vars(DurableParallelToolNode) if not hasattr(ToolNode, name)}
    covered = theirs & (ours | (now.keys() - before.keys()))
    covered |= {name for name in before if now[name] is not before[name] and name not in {"func", "afunc"}}
    if covered:
        raise InvalidSetting(
            f"the node {path!r} cannot be upgraded: its class uses names that DurableParallelToolNode needs: {sorted(covered)}. Rename"
            " them there. Nothing was changed."
        )


def _durable(kind: type[ToolNode], path: str) -> type[DurableParallelToolNode]:
    try:
        return _durable_class(kind)
    except TypeError as error:
        raise InvalidSetting(
            f"the node {path!r} cannot be upgraded: its class {kind.__name__} does not let itself be derived from together with"
            f" DurableParallelToolNode: {error}. Nothing was changed."
        ) from error


@cache
def _durable_class(kind: type[ToolNode]) -> type[DurableParallelToolNode]:
    """One class for all nodes of a class, so that they stay of one class."""
    if kind is ToolNode:
        return DurableParallelToolNode
    members = {"__module__": __name__, "__doc__": f"A durable {kind.__name__}."}
    made = new_class(
        f"Durable{kind.__name__}",
        (DurableParallelToolNode, kind),
        exec_body=lambda space: space.update(members),
    )
    return cast("type[DurableParallelToolNode]", made)


def _tell(
    nodes: Mapping[str, ToolNode], plain: Mapping[str, ToolNode], settings: Settings, given: Iterable[str]
) -> None:
    kept = {path: node for path, node in nodes.items() if path not in plain}
    log.info("toolslot.made_durable upgraded=%r already_durable=%r", [*plain], [*kept])
    others = [path for path, node in kept.items() if _differs(node, settings, given)]
    if others:
        log.warning(
            "toolslot.options_kept nodes=%r: they were durable already and keep their own options, which differ from those given now",
            others,
        )
    unknown = {*(settings.policies or ())}.difference(*(node.tools_by_name for node in nodes.values()))
    if unknown and not any(_wrapped(node) for node in nodes.values()):
        log.warning("toolslot.policy_without_tool tools=%r: no node has such tools", sorted(unknown))


def _differs(node: ToolNode, settings: Settings, given: Iterable[str]) -> bool:
    own: Settings | None = getattr(node, "_settings", None)
    return any(own is None or getattr(own, name) != getattr(settings, name) for name in given)


def _wrapped(node: ToolNode) -> bool:
    """Whether something is around the node's calls, which may serve tools of its own."""
    return any(wrapper is not None for wrapper in wrappers_of(node))
