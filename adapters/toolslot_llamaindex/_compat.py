"""Everything used here that LlamaIndex does not promise to keep, in one place and checked at import."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar, cast

from llama_index.core.agent.workflow import AgentWorkflow, BaseWorkflowAgent
from llama_index.core.agent.workflow.workflow_events import (
    AgentOutput,
    AgentSetup,
    AgentWorkflowStartEvent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.tools.function_tool import sync_to_async
from llama_index.core.tools.types import BaseToolAsyncAdapter
from llama_index.core.workflow import Context, Event
from llama_index_instrumentation.dispatcher import active_instrument_tags
from workflows.handler import WorkflowHandler
from workflows.plugins.basic import BasicRuntime
from workflows.runtime.types import results
from workflows.runtime.types.results import StepWorkerStateContextVar

#: what this module was tried with last; the oldest supported is 0.14.13
TESTED = "llama-index-core 0.14.25 with llama-index-workflows 2.26.1"

#: the steps that are replaced, and the event that each is about
STEPS: Mapping[str, type[Event]] = {
    "init_run": AgentWorkflowStartEvent,
    "run_agent_step": AgentSetup,
    "parse_agent_output": AgentOutput,
    "call_tool": ToolCall,
    "aggregate_tool_results": ToolCallResult,
}

_STEPS = {name: ["self", "ctx", "ev"] for name in STEPS}

_METHODS = {"_call_tool": ["self", "ctx", "tool", "tool_input"]}

ContextT = TypeVar("ContextT", bound="Context[Any]")
EventT = TypeVar("EventT", bound=Event)

#: what a FunctionTool makes of a sync function
_IN_A_THREAD: object = getattr(sync_to_async(len), "__code__", None)

_waiting: object = getattr(results, "WaitingForEvent", None)

#: by which a step stops at `wait_for_event`
PAUSES: tuple[type[BaseException], ...] = (
    (_waiting,) if isinstance(_waiting, type) and issubclass(_waiting, BaseException) else ()
)


def check() -> None:
    """Raise `ImportError` when the installed LlamaIndex is not built the way the subclass relies on."""
    for cls in (BaseWorkflowAgent, AgentWorkflow):
        for name, parameters in (_STEPS | _METHODS).items():
            method: object = getattr(cls, name, None)
            found = list(inspect.signature(method).parameters) if callable(method) else None
            if found != parameters or (name in _STEPS and not hasattr(method, "_step_config")):
                what = "step" if name in _STEPS else "method"
                raise _unknown(
                    f"{cls.__name__}.{name} takes {found}, expected a {what} that takes {parameters}"
                )
    if "_face" not in Context.__annotations__:
        raise _unknown("Context keeps what it shares between its copies somewhere else than in `_face`")
    if "collected_events" not in results.StepWorkerState.__annotations__:
        raise _unknown("a step keeps the events that it collects somewhere else than in `collected_events`")
    if _IN_A_THREAD is None:
        raise _unknown("a sync function becomes an async one in another way than by sync_to_async")
    if not PAUSES:
        raise _unknown("a step does not stop at wait_for_event by raising WaitingForEvent")


def _unknown(what: str) -> ImportError:
    return ImportError(
        f"toolslot_llamaindex does not know this version of LlamaIndex ({_installed()}): {what}. It was tried with {TESTED}. Install"
        " llama-index-core>=0.14.13,<0.15, or a newer toolslot."
    )


def _installed() -> str:
    found: list[str] = []
    for name in ("llama-index-core", "llama-index-workflows"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name}, version unknown")
    return ", ".join(found)


def another_view(cls: type[ContextT], ctx: Context[Any]) -> ContextT:
    """A context of class `cls` that is `ctx` in everything else."""
    view = object.__new__(cls)
    cast("Any", view)._face = cast("Any", ctx)._face
    return view


def workflow_run_id() -> str:
    """The id of the workflow run that the current step, or the tool in its thread, belongs to; empty outside one."""
    found: object = active_instrument_tags.get().get("llamaindex.run_id")
    return found if isinstance(found, str) else ""


def with_async_code(tool: Any, run: Callable[..., Awaitable[Any]]) -> Any:
    """The tool; in place of a sync one a copy whose code is run by `await run(fn, ...)`, not by the framework in a thread."""
    if isinstance(tool, BaseToolAsyncAdapter):
        name, fn = "acall", tool.call
    elif getattr(getattr(tool, "_async_fn", None), "__code__", None) is _IN_A_THREAD:
        name, fn = "_async_fn", tool.fn
    else:
        return tool
    new: Any = copy.copy(tool)
    setattr(new, name, partial(run, fn))
    return new


def always_written(agent: Any) -> set[str]:
    """Where in the state an agent, or those of a workflow, keep the messages and thoughts of a run; whatever they add they write."""
    agents: list[Any] = [agent, *getattr(agent, "agents", {}).values()]
    found = [getattr(each, name, None) for each in agents for name in ("scratchpad_key", "reasoning_key")]
    return {key for key in found if isinstance(key, str)}


def own_step(function: object) -> bool:
    """Whether this is the framework's step, and not a user's."""
    return getattr(function, "__module__", "").startswith("llama_index.core.")


def retry_of(ctx: Context[Any]) -> tuple[int, float]:
    """How often the current step has failed before, and for how many seconds it is tried by now."""
    info: Any = cast("Any", ctx).retry_info() if hasattr(ctx, "retry_info") else None
    return (info.retry_number, info.elapsed_seconds) if info is not None else (0, 0.0)


def num_workers(cls: type) -> int:
    """How many tool calls of one run the framework starts at once."""
    config: Any = getattr(getattr(cls, "call_tool", None), "_step_config", None)
    found: object = getattr(config, "num_workers", None)
    return found if isinstance(found, int) else 4


def restarts_with_the_same_id(workflow: object) -> bool:
    """Whether somebody else finds runs by their id, a server or a runtime that resumes them, so that the id must stay what was given.

    The basic runtime on its own does not, and it refuses an id that a failed run still holds.
    """
    runtime: Any = getattr(workflow, "_runtime", None)
    while type(runtime).__module__ == "workflows.runtime.verbose":  # what verbose=True puts around it
        runtime = runtime._decorated
    return not isinstance(runtime, BasicRuntime)


def run_id_of(handler: WorkflowHandler, otherwise: str) -> str:
    """The id of the workflow run that was started, whatever id was asked for."""
    found: object = getattr(handler, "run_id", None)
    return found if isinstance(found, str) else otherwise


def when_done(handler: WorkflowHandler, then: Callable[[], None]) -> None:
    """Call `then` once the run has ended, however it did."""
    task: Any = getattr(handler, "_result_task", handler)

    def ended(_: object) -> None:
        then()

    task.add_done_callback(ended)


def copy_as(agent: Any, cls: type) -> Any:
    """A copy of the agent or workflow, of class `cls`, known to its runtime. The original stays as it is."""
    new: Any = copy.copy(agent)
    object.__setattr__(new, "__class__", cls)
    for name, value in cast("dict[str, object]", agent.__dict__).items():
        kind: type = type(value)
        if kind is list or kind is dict or kind is set:
            # `tools` and the like: what is added to them is added to the copy alone
            object.__setattr__(new, name, copy.copy(value))
    for name, value in (
        ("_validation_result", None),
        ("_validated_version", -1),
        ("_broker_config", None),
        ("_broker_config_version", -1),
        ("_runtime_locked", False),
    ):
        if hasattr(agent, name):
            object.__setattr__(new, name, value)
    runtime: Any = getattr(new, "_runtime", None)
    if runtime is not None:
        runtime.track_workflow(new)
    return new


def collected(event_type: type[EventT]) -> list[EventT]:
    """What the current step has collected so far of its events."""
    buffers: dict[str, list[Any]] = StepWorkerStateContextVar.get().state.collected_events
    return [event for found in buffers.values() for event in found if isinstance(event, event_type)]


check()
