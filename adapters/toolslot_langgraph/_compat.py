"""Everything used here that LangGraph does not promise to keep, in one place and checked at import."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.prebuilt import ToolNode, tool_node
from langgraph.prebuilt.tool_node import ToolCallRequest, ToolRuntime
from langgraph.runtime import Runtime

from langgraph import errors
from toolslot.hosting import in_thread

_SCRATCHPAD = "__pregel_scratchpad"
_SEND = "__pregel_send"
_READ = "__pregel_read"
_TASKS = "__pregel_tasks"
_CHECKPOINTER = "__pregel_checkpointer"
_DURABILITY = "__pregel_durability"
_RUNTIME = "__pregel_runtime"

#: what a serializer allows that makes any class again
ANY_CLASS = True

#: the channel that carries the answers a task got, in what a task sends
RESUME = "__resume__"

#: exceptions that mean "cancelled" although they are ordinary ones
CANCELS: tuple[type[BaseException], ...] = tuple(
    found for name in ("NodeCancelledError",) if isinstance(found := getattr(errors, name, None), type)
)

#: ToolNode's own default of `handle_tool_errors`
DEFAULT_HANDLER: Any = inspect.signature(cast("type[Any]", ToolNode)).parameters["handle_tool_errors"].default

#: how a function without async code is awaited: LangChain invokes its tool in a thread
_INVOKED_IN_A_THREAD: tuple[object, ...] = (StructuredTool.ainvoke, Tool.ainvoke)
#: and what a class without async code has for it
_ARUN: object = vars(BaseTool)["_arun"]


def check_tool_node() -> None:
    """Raise `ImportError` when this ToolNode is not built the way the subclass relies on."""
    wanted = {
        "_func": ["self", "input", "config", "runtime"],
        "_afunc": ["self", "input", "config", "runtime"],
        "_run_one": ["self", "call", "input_type", "tool_runtime"],
        "_arun_one": ["self", "call", "input_type", "tool_runtime"],
        "_execute_tool_async": ["self", "request", "input_type", "config"],
        "_combine_tool_outputs": ["self", "outputs", "input_type"],
    }
    for name, parameters in wanted.items():
        method: object = getattr(ToolNode, name, None)
        found = list(inspect.signature(method).parameters) if callable(method) else None
        if found != parameters:
            raise ImportError(
                f"toolslot_langgraph does not know this version of langgraph-prebuilt: ToolNode.{name} takes {found}, expected"
                f" {parameters}. Install langgraph>=1.2,<2 with langgraph-prebuilt>=1.1,<2, or a newer toolslot."
            )
    for name in ("_handle_tool_error", "_infer_handled_types", "msg_content_output"):
        if not hasattr(tool_node, name):
            raise ImportError(
                f"toolslot_langgraph does not know this version of langgraph-prebuilt: {name} is gone from its tool_node module."
                " Install langgraph-prebuilt>=1.1,<2, or a newer toolslot."
            )


def handled_text(error: Exception, flag: Any) -> str | None:
    """What `handle_tool_errors=flag` makes of the error; None when it does not handle it.

    Raises:
        Exception: what the handler raises; the default one raises every error but those of bad arguments.
    """
    if not flag:
        return None
    private = vars(tool_node)
    types: tuple[type[Exception], ...]
    if isinstance(flag, type) and issubclass(flag, Exception):
        types = (flag,)
    elif isinstance(flag, tuple):
        types = cast("tuple[type[Exception], ...]", flag)
    elif callable(cast("object", flag)):
        types = cast("tuple[type[Exception], ...]", private["_infer_handled_types"](flag))
    else:
        types = (Exception,)
    if not isinstance(error, types):
        return None
    return cast("str", private["_handle_tool_error"](error, flag=flag))


def as_content(value: object) -> str | list[str | dict[Any, Any]]:
    """A message's content from what a tool may return, as ToolNode makes it."""
    return cast("str | list[str | dict[Any, Any]]", vars(tool_node)["msg_content_output"](value))


def is_invalid_resume(error: BaseException) -> bool:
    """Whether a human's answer did not fit the question: the call is to be asked again, it has not failed."""
    found: object = getattr(errors, "is_invalid_resume", None)
    return bool(found(error)) if callable(found) else False


def configurable(config: RunnableConfig) -> dict[str, Any]:
    """The part of the config that LangGraph uses to hand itself down; empty outside a graph."""
    return config.get("configurable") or {}


def has_checkpointer(config: RunnableConfig) -> bool:
    """Whether the graph that runs this node saves checkpoints."""
    return bool(configurable(config).get(_CHECKPOINTER))


def checkpointer_of(config: RunnableConfig) -> BaseCheckpointSaver[Any] | None:
    """What saves the checkpoints of the graph that runs this node; None outside a graph, or when there is none."""
    found: object = configurable(config).get(_CHECKPOINTER)
    return cast("BaseCheckpointSaver[Any]", found) if isinstance(found, BaseCheckpointSaver) else None


def as_name(given: object) -> str | None:
    """The text under which LangGraph keeps a thread whose id is no string (an int, a UUID); None for what has no text of its own."""
    own = isinstance(given, (int, float)) or type(given).__str__ is not object.__str__
    return (str(given) or None) if given is not None and own else None


def thread_in_saver(config: RunnableConfig) -> object:
    """The thread's id as its saver gets it: LangGraph makes a text of all but those that are false."""
    found: object = configurable(config).get("thread_id")
    return as_name(found) if found else found


def allowed_by_saver(config: RunnableConfig) -> Collection[tuple[str, ...]] | bool:
    """The classes, as (module, name), that the serializer of the graph's saver makes again from what it has written; `ANY_CLASS` when it
    makes any, and none when there is no saver or its serializer is not LangGraph's own.
    """
    serde: object = getattr(checkpointer_of(config), "serde", None)
    while isinstance(serde, EncryptedSerializer):
        serde = serde.serde
    if (
        not isinstance(serde, JsonPlusSerializer)
        or type(serde).loads_typed is not JsonPlusSerializer.loads_typed
    ):
        return ()
    own: Any = serde
    if getattr(own, "_custom_unpack_ext_hook", False):
        return ()
    found: object = getattr(own, "_allowed_msgpack_modules", None)
    if found is True:
        return ANY_CLASS
    return cast("set[tuple[str, ...]]", found) if isinstance(found, set) else ()


def named_checkpoint(config: RunnableConfig, thread: str) -> bool:
    """Whether the run of this thread that is under way was told from which checkpoint to go on. Agents inside tools inherit what is said of
    the run outside.
    """
    told = config.get("metadata") or {}
    return bool(told.get("checkpoint_id")) and as_name(told.get("thread_id")) == thread


def durability(config: RunnableConfig) -> str | None:
    """How the graph that runs this node saves checkpoints: "sync", "async", "exit", or None when it does not say."""
    found: object = configurable(config).get(_DURABILITY)
    return found if isinstance(found, str) else None


def scratchpad_of(config: RunnableConfig) -> Any | None:
    """The task's counters and human answers, if they have the shape known here."""
    found: Any = configurable(config).get(_SCRATCHPAD)
    needed = {"call_counter", "interrupt_counter", "get_null_resume", "resume", "subgraph_counter"}
    if not is_dataclass(found) or isinstance(found, type) or needed - {item.name for item in fields(found)}:
        return None
    return found if isinstance(getattr(found, "resume", None), list) else None


def sender_of(config: RunnableConfig) -> Callable[[Any], None] | None:
    """The function by which a task writes."""
    found: object = configurable(config).get(_SEND)
    return cast("Callable[[Any], None]", found) if callable(found) else None


def read_channel(config: RunnableConfig, name: str) -> object:
    """What the graph's state holds under `name`; None outside a graph, or when there is no such thing in it."""
    found: object = configurable(config).get(_READ)
    if not callable(found):
        return None
    try:
        return found(
            name, True
        )  # both, as ToolNode does: whatever stands in for LangGraph's reader takes these two
    except KeyError:
        return None


def with_runtime(config: RunnableConfig) -> RunnableConfig:
    """The config, with what a node asks of the graph that runs it: of none, where it is run outside of one."""
    if _RUNTIME in configurable(config):
        return config
    return {**config, "configurable": {**configurable(config), _RUNTIME: Runtime()}}


class _Alone:
    """A task that is not known."""


def task_of(config: RunnableConfig) -> object:
    """What lives as long as the task that runs here, and is the same whenever it is tried again; a fresh object when nothing is."""
    found: object = configurable(config).get(_READ)
    return cast("object", found) if isinstance(found, partial) else _Alone()


def sent_state(values: Mapping[str, Any]) -> object:
    """The state that a checkpoint's calls were sent with, from the values of its channels; None where they were sent without one."""
    for send in values.get(_TASKS) or ():
        given: object = getattr(send, "arg", None)
        if isinstance(given, dict) and "__type" in given:
            return cast("dict[str, object]", given).get("state")
    return None


def lend(config: RunnableConfig, scratchpad: Any, send: Callable[[Any], None]) -> None:
    """Put another scratchpad and another way to write into a config that belongs to one call alone."""
    config["configurable"] = {**configurable(config), _SCRATCHPAD: scratchpad, _SEND: send}


def enter_config(config: RunnableConfig) -> None:
    """Make `config` the one that `interrupt()` and nested runnables find. For a context that ends with the call."""
    var_child_runnable_config.set(config)


@contextmanager
def config_entered(config: RunnableConfig) -> Generator[None]:
    """As `enter_config`, for a while only."""
    token = var_child_runnable_config.set(config)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def metadata_of(tool: object) -> Mapping[str, Any]:
    """A tool's metadata; empty when it has none."""
    found: object = getattr(tool, "metadata", None)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}


def inputs_of(tool: BaseTool, args: dict[str, Any]) -> dict[str, Any]:
    """What a tool's callbacks see of a call's arguments: not those that are injected."""
    without_injected: object = getattr(tool, "_filter_injected_args", None)
    return cast("dict[str, Any]", without_injected(args)) if callable(without_injected) else dict(args)


def saves_checkpoints(graph: object) -> bool:
    """Whether a graph saves checkpoints when it runs inside another that does."""
    return getattr(graph, "checkpointer", None) is not False


def has_own_saver(graph: object) -> bool:
    """Whether a graph was compiled with a saver, as one is that is run by itself."""
    return isinstance(getattr(graph, "checkpointer", None), BaseCheckpointSaver)


def ran_no_graph(config: RunnableConfig) -> bool:
    """Whether no graph has run inside this task so far, so that the next one has the first place among its checkpoints."""
    counter: object = getattr(scratchpad_of(config), "subgraph_counter", None)
    return getattr(counter, "_counter", counter) is None and counter is not None


def place_inside(config: RunnableConfig, number: int) -> RunnableConfig | None:
    """Where the `number`th graph that runs inside this task, from 0, has its checkpoints; None when there is nothing that says so."""
    thread, namespace = (configurable(config).get(name) for name in ("thread_id", "checkpoint_ns"))
    if thread is None or not isinstance(namespace, str) or not namespace:
        return None
    inside = f"{namespace}|{number}" if number else namespace
    return {"configurable": {"thread_id": str(thread), "checkpoint_ns": inside}}


def functions_of(tool: BaseTool) -> tuple[object, ...]:
    """The code a tool runs: its function if it has one, and its methods, which may be those of a user's class; sync and async."""
    own: Any = tool
    given = (own.func, own.coroutine) if isinstance(tool, (Tool, StructuredTool)) else ()
    return *(function for function in given if function is not None), own._run, own._arun


def outliving(request: ToolCallRequest) -> ToolCallRequest:
    """The request; in place of a sync tool a copy for whose thread, once it is inside, the call's task waits to its end."""
    tool: Any = request.tool
    if tool is None or getattr(tool, "coroutine", None) is not None:
        return request
    cls: Any = cast("object", type(tool))
    # What is run is the tool itself, which may keep something in itself.
    if cls.ainvoke in _INVOKED_IN_A_THREAD:
        name, code = "ainvoke", partial(in_thread, tool.invoke)
    elif cls._arun is _ARUN:
        name, code = "_arun", partial(_as_base_tool, tool._run)
    else:
        return request
    new: Any = copy.copy(tool)
    object.__setattr__(new, name, code)
    return replace(request, tool=new)


async def _as_base_tool(run: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What `BaseTool._arun` does."""
    manager = kwargs.get("run_manager")
    if manager is not None and "run_manager" in inspect.signature(run).parameters:
        kwargs["run_manager"] = manager.get_sync()
    return await in_thread(run, *args, **kwargs)


def wrappers_of(node: ToolNode) -> tuple[object, ...]:
    """What is put around a node's tool calls, sync and async: by `create_agent`, the middleware."""
    own: Any = node
    return own._wrap_tool_call, own._awrap_tool_call


def rebind(node: ToolNode) -> None:
    """Have the node run the methods of the class it is of now. It keeps those of the class it was made as, bound, and runs these."""
    own: Any = node
    own.func, own.afunc = own._func, own._afunc


def runs_its_own_methods(node: ToolNode) -> bool:
    """Whether the node runs the methods of its class, called as a `ToolNode`'s are, and nothing else put in their place."""
    own: Any = node
    return (
        all(
            getattr(held, "__func__", None) is getattr(type(node), name, None)
            for held, name in ((own.func, "_func"), (own.afunc, "_afunc"))
        )
        and {"config", "runtime"} <= own.func_accepts.keys()
    )


__all__ = [
    "ANY_CLASS",
    "CANCELS",
    "DEFAULT_HANDLER",
    "RESUME",
    "ToolRuntime",
    "allowed_by_saver",
    "as_content",
    "as_name",
    "check_tool_node",
    "checkpointer_of",
    "config_entered",
    "configurable",
    "durability",
    "enter_config",
    "functions_of",
    "handled_text",
    "has_checkpointer",
    "has_own_saver",
    "inputs_of",
    "is_invalid_resume",
    "lend",
    "metadata_of",
    "named_checkpoint",
    "outliving",
    "place_inside",
    "ran_no_graph",
    "read_channel",
    "rebind",
    "runs_its_own_methods",
    "saves_checkpoints",
    "scratchpad_of",
    "sender_of",
    "sent_state",
    "task_of",
    "thread_in_saver",
    "with_runtime",
    "wrappers_of",
]

check_tool_node()
