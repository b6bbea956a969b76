"""The steps of a durable agent: what `@step` says of the agent's own holds for those that stand in their place."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from llama_index.core.workflow import Context, Event
from workflows.decorators import StepConfig

from toolslot import InvalidSetting
from toolslot_llamaindex._compat import STEPS, own_step, retry_of
from toolslot_llamaindex._streaming import streaming


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnStep:
    """The agent's own step, with what the framework gives it besides event and context: its resources."""

    function: Callable[..., Any]
    config: StepConfig
    given: Mapping[str, Any]

    async def __call__(self, ctx: Context[Any], ev: Event) -> Any:
        given = {**self.given, self.config.event_name: ev}
        if self.config.context_parameter is not None:
            given[self.config.context_parameter] = ctx
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**given)
        return await asyncio.to_thread(self.function, **given)

    def is_tried_again(self, ctx: Context[Any], error: Exception) -> bool:
        """Whether the framework runs the step once more after this error, as its `retry_policy` says."""
        policy = self.config.retry_policy
        if policy is None:
            return False
        failures, seconds = retry_of(ctx)
        return policy.next(seconds, failures + 1, error) is not None


class _Instead(Protocol):
    def __call__(self, ctx: Context[Any], ev: Any, own: OwnStep, /) -> Awaitable[Any]: ...


def durable_steps(cls: type[Any], before: type[Any], workers: int) -> dict[str, Any]:
    """The steps for a class that is derived from `before` and `cls`: `before` has, for each, a method `_toolslot_<name>`.

    `workers` is how many calls the framework hands over at once.

    Raises:
        InvalidSetting: a step of `cls` takes several events at once.
    """
    made: dict[str, Any] = {}
    for name, expected in STEPS.items():
        function = getattr(cls, name)
        config: StepConfig | None = getattr(function, "_step_config", None)
        if config is None:
            continue  # overridden without @step: the framework does not take it for a step, and says so
        if getattr(config, "collect_params", None) or getattr(config, "collection_param", None):
            raise InvalidSetting(
                f"{cls.__name__}.{name} collects several events before it runs. Which call of the model's answer each is about is not known"
                f" then, so that the calls cannot be made durable. Let it take one {expected.__name__} at a time."
            )
        made[name] = _step(
            cls,
            before,
            name,
            expected,
            replace(config, num_workers=_workers(name, config, function, workers)),
        )
    return made


def _workers(name: str, config: StepConfig, function: object, calls: int) -> int:
    if name == "call_tool":
        return calls
    if name == "aggregate_tool_results" and own_step(function):
        return 1  # one result after the other: the framework repeats the step for each that came meanwhile
    return config.num_workers


def _step(cls: type[Any], before: type[Any], name: str, expected: type[Event], config: StepConfig) -> Any:
    function = getattr(cls, name)
    context = config.context_parameter or "ctx"

    async def durable_step(self: Any, **given: Any) -> Any:
        ctx, ev = given.pop(context), given.pop(config.event_name)
        own = OwnStep(function=getattr(cast("Any", super(before, self)), name), config=config, given=given)
        if not isinstance(ev, expected):  # an event of the user's own, which this step takes too
            return await own(ctx, ev)
        instead: _Instead = getattr(self, f"_toolslot_{name}")
        with streaming(ctx):
            return await instead(ctx, ev, own)

    durable_step.__name__ = name
    durable_step.__qualname__ = f"{cls.__qualname__}.{name}"
    durable_step.__doc__ = function.__doc__
    step: Any = durable_step
    step.__wrapped__ = _with_its_signature(function, context, known=config.context_parameter is not None)
    step._step_config = replace(config, context_parameter=context)
    return step


def _with_its_signature(function: Any, context: str, *, known: bool) -> Any:
    """What stands for a durable step where its signature is asked for: telemetry reads the arguments by their names."""
    if known:
        return function

    def shape() -> None:
        """With one parameter more than the function."""

    signature = inspect.signature(function)
    added = inspect.Parameter(context, inspect.Parameter.KEYWORD_ONLY)
    cast("Any", shape).__signature__ = signature.replace(parameters=[*signature.parameters.values(), added])
    return shape


def events_of(cls: type[Any]) -> Iterator[type[Event]]:
    """The events that the class's own `call_tool` may return in place of a result."""
    config: StepConfig | None = getattr(cls.call_tool, "_step_config", None)
    for kind in config.return_types if config is not None else ():
        if isinstance(kind, type) and issubclass(kind, Event):
            yield kind
