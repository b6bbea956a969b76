"""The one function that users call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar, cast

from llama_index.core.agent.workflow import AgentWorkflow, BaseWorkflowAgent

from toolslot import Hook, InvalidSetting, Journal, Limits, ToolPolicy
from toolslot.hosting import executor_for
from toolslot_llamaindex._codec import LlamaIndexCodec
from toolslot_llamaindex._compat import PAUSES, copy_as, num_workers, own_step
from toolslot_llamaindex._known import AllowedType, Models
from toolslot_llamaindex._mixin import DurableSteps
from toolslot_llamaindex._shared import Durable
from toolslot_llamaindex._sharing import LlamaIndexContents
from toolslot_llamaindex._steps import durable_steps, events_of
from toolslot_llamaindex._streaming import stream

AgentT = TypeVar("AgentT", BaseWorkflowAgent, AgentWorkflow)

#: how many calls of one run the framework hands over at once, where one that waits for its tool's limit must not hold up others
_ALL_AT_ONCE = 128


def durable(
    agent: AgentT,
    *,
    journal: str | os.PathLike[str] | Journal | None = None,
    policies: Mapping[str, ToolPolicy] | None = None,
    default_policy: ToolPolicy | None = None,
    limits: Limits | None = None,
    max_parallel: int | None = None,
    hooks: Sequence[Hook] | None = None,
    codec: LlamaIndexCodec | None = None,
    allowed_types: Iterable[AllowedType] = (),
    on_other_agent: Literal["refuse", "resume"] = "refuse",
    stream_events: bool = False,
) -> AgentT:
    """A copy of the agent, of the same kind, whose parallel tool calls survive the process. The agent given stays as it is.

    `await agent.run(user_msg=..., run_id="order-17")`: run again with the same run id and input after a crash, it goes on where it was. The
    model is not asked for what it has answered. Within the calls of one answer, a call whose result is recorded never runs again; a call
    that never started simply runs; a call that started and left no record follows its tool's policy. Without a run id nothing is recorded.

    Args:
        agent: A FunctionAgent, ReActAgent, CodeActAgent, any other `BaseWorkflowAgent`, or an `AgentWorkflow`.
        journal: A path, an address, a `Journal`, or None: the environment variable `TOOLSLOT_HOME`, else `./.toolslot`.
            Opened at first use.
        policies: What is known about each tool, by name. A policy's `codec` is for the tool's `raw_output`.
        default_policy: For every other tool.
        limits: How many calls may run at once, and for how long.
        max_parallel: Calls of one answer at once. Default: what the framework's agents do, 4.
        hooks: Called with every event. Default: one `LoggingHook`.
        codec: How answers are stored. Default: `LlamaIndexCodec(allowed_types)`.
        allowed_types: Classes that may be made again from stored data, wherever they are found: in messages of the model, in the state,
            as `raw_output`. The pydantic models and enums of the SDK that `agent.llm` is built on are allowed by themselves.
        on_other_agent: What a run id does that another agent has begun: the run is refused, or goes on all the same. The agent is the same
            after a deploy if its name and kind are, and at least one of its tools' names or its prompt.
        stream_events: Write what happens to calls to the run's stream too, as `ToolslotEvent`s.

    Raises:
        InvalidSetting: an argument that means nothing.
    """
    if on_other_agent not in ("refuse", "resume"):
        raise InvalidSetting(f"durable(on_other_agent={on_other_agent!r}): it is 'refuse' or 'resume'.")
    if not isinstance(agent, (BaseWorkflowAgent, AgentWorkflow)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSetting(
            f"durable() takes a workflow agent or an AgentWorkflow, not a {type(agent).__name__}: only these have the steps it replaces."
        )
    if isinstance(agent, DurableSteps):
        raise InvalidSetting(
            f"{type(agent).__name__} is durable already. Give all settings in one call of durable()."
        )
    cls: type[Any] = type(agent)
    models = Models()
    values = codec if codec is not None else LlamaIndexCodec([*events_of(cls), *allowed_types])
    values = values.serving(models)
    given: dict[str, ToolPolicy] = {"handoff": ToolPolicy(idempotent=True), **(policies or {})}
    executor = executor_for(
        journal,
        policies={name: _with_codec(policy, values) for name, policy in given.items()},
        default_policy=_with_codec(default_policy, values) if default_policy is not None else None,
        limits=limits,
        hooks=hooks,
        codec=values,
        pauses=PAUSES,
        contents=LlamaIndexContents(),
        stream=stream if stream_events else None,
    )
    parallel = max_parallel if max_parallel is not None else num_workers(cls)
    fallback = default_policy if default_policy is not None else ToolPolicy()
    own_limits = bool(limits is not None and limits.tools) or any(
        policy.max_parallel is not None or policy.rate is not None for policy in [*given.values(), fallback]
    )
    new = copy_as(agent, _subclass(cls, _workers(parallel, own_limits=own_limits)))
    shared = Durable(
        executor,
        values,
        parallel,
        models,
        refuses_others=on_other_agent == "refuse",
        # A step of the user's own may wait for a person first, or leave calls out.
        enters_at_once=own_step(cls.parse_agent_output),
    )
    object.__setattr__(new, "_toolslot", shared)
    models.add(new)
    return cast("AgentT", new)


def _with_codec(policy: ToolPolicy, codec: LlamaIndexCodec) -> ToolPolicy:
    return policy if policy.codec is None else replace(policy, codec=codec.for_tool(policy.codec))


def _workers(parallel: int, *, own_limits: bool) -> int:
    """How many calls the framework hands over at once; how many of them run the limits say.

    Twice as many as run, so that there is one to begin while the result of another is written. No more than that, for with each event the
    framework copies what it knows of all of them.
    """
    return max(2 * parallel, _ALL_AT_ONCE if own_limits else 0)


_subclasses: dict[tuple[type, int], type] = {}


def _subclass(cls: type[Any], workers: int) -> type:
    """The class of durable agents of class `cls`. It has the same name: the framework finds runs by it."""
    found: type | None = _subclasses.get((cls, workers))
    if found is None:
        namespace: dict[str, Any] = {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
            **durable_steps(cls, DurableSteps, workers),
        }
        make = cast("Callable[..., type]", type(cls))
        found = _subclasses[cls, workers] = make(cls.__name__, (DurableSteps, cls), namespace)
    return found
