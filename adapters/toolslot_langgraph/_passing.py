"""Fallbacks and retries around a tool node. What stops a run passes them: a question to a person is no failure, and has no other answer.

LangChain gives both every `Exception`, and LangGraph's signals are exceptions. So they leave what is tried as something that is none, and
are what they were again outside.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from types import new_class
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.retry import RunnableRetry
from langgraph.errors import GraphBubbleUp
from typing_extensions import override

from toolslot import (
    CallTimedOut,
    EffectRefused,
    InvalidArguments,
    ResultNotStorable,
    ToolFailed,
    ToolslotError,
    UnknownOutcome,
)

#: the errors that say what became of a call; every other one of toolslot says that the run stops here
_OUTCOMES = (CallTimedOut, EffectRefused, InvalidArguments, ResultNotStorable, ToolFailed)


class _Stop(BaseException):
    """Carries what stops the run past those who handle exceptions."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _stops(error: Exception) -> bool:
    if isinstance(error, UnknownOutcome):
        return error.ask
    return isinstance(error, (GraphBubbleUp, ToolslotError)) and not isinstance(error, _OUTCOMES)


@contextmanager
def _leaving() -> Generator[None]:
    try:
        yield
    except Exception as error:
        if _stops(error):
            raise _Stop(error) from None
        raise


@contextmanager
def _left() -> Generator[None]:
    try:
        yield
    except _Stop as stop:
        error = stop.error
    else:
        return
    raise error


class Tried(Runnable[Any, Any]):
    """What is tried, or comes instead; what stops the run leaves it as a `_Stop`."""

    def __init__(self, bound: Runnable[Any, Any]) -> None:
        self.bound = bound
        self.name = bound.get_name()

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with _leaving():
            return self.bound.invoke(input, config, **kwargs)

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with _leaving():
            return await self.bound.ainvoke(input, config, **kwargs)


class _Passing:
    """Comes before the class of the fallbacks or retries."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with _left():
            return cast("Any", super()).invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with _left():
            return await cast("Any", super()).ainvoke(input, config, **kwargs)

    def batch(self, *args: Any, **kwargs: Any) -> Any:
        with _left():
            return cast("Any", super()).batch(*args, **kwargs)

    async def abatch(self, *args: Any, **kwargs: Any) -> Any:
        with _left():
            return await cast("Any", super()).abatch(*args, **kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with _left():
            yield from cast("Any", super()).stream(*args, **kwargs)

    async def astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with _left():
            async for each in cast("Any", super()).astream(*args, **kwargs):
                yield each

    def transform(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with _left():
            yield from cast("Any", super()).transform(*args, **kwargs)

    async def atransform(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with _left():
            async for each in cast("Any", super()).atransform(*args, **kwargs):
                yield each

    def with_fallbacks(self, *args: Any, **settings: Any) -> Any:
        return let_pass(cast("Any", super()).with_fallbacks(*args, **settings))

    def with_retry(self, **settings: Any) -> Any:
        return let_pass(cast("Any", super()).with_retry(**settings))


def tries(thing: object) -> bool:
    """Whether it is fallbacks or retries around something else, which do not let pass what stops a run."""
    return isinstance(thing, (RunnableWithFallbacks, RunnableRetry)) and not isinstance(thing, _Passing)


def let_pass(wrapper: Any) -> Any:
    """Have fallbacks or retries let pass what stops a run, in place."""
    own: Any = wrapper
    kind = cast("Any", type(own))
    if isinstance(wrapper, RunnableWithFallbacks):
        own.runnable, own.fallbacks = Tried(own.runnable), [Tried(each) for each in own.fallbacks]
    else:
        own.bound = Tried(own.bound)
    object.__setattr__(own, "__class__", _class(kind))
    return own


@cache
def _class(kind: type[Any]) -> type[Any]:
    members = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return new_class(kind.__name__, (_Passing, kind), exec_body=lambda space: space.update(members))
