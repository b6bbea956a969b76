"""The events of a run's calls, in the run's own stream."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from langchain_core.runnables import RunnableConfig

from toolslot import BatchEvent, CallEvent, EventKind
from toolslot.instrumentation import as_data
from toolslot_langgraph._compat import config_entered

Write: TypeAlias = Callable[[dict[str, Any]], None]


@contextmanager
def streaming(runtime: object, config: RunnableConfig) -> Generator[None]:
    """Until it ends, `StreamHook` writes to the stream of the run that `runtime` and `config` belong to.

    It counts for this thread or task and for those that copy its context. To be entered by every run, also by one without a stream: so
    nothing that happens inside a call reaches the stream of the run around it. Events that come when the run has gone are not written.
    """
    write: Write | None = getattr(runtime, "stream_writer", None)

    def to_own_run(data: dict[str, Any]) -> None:
        assert write is not None
        # LangGraph's writer takes the namespace from the config that is current, which asyncio does not hand down before Python 3.11.
        with config_entered(config):
            write(data)

    token = _current.set(None if write is None else to_own_run)
    try:
        yield
    finally:
        _current.reset(token)


class StreamHook:
    """Writes events as plain data to `stream_mode="custom"` of the run that they belong to. No arguments and no results are in them."""

    def wants(self, kind: EventKind | None) -> bool:
        """Whether there is a stream to write to."""
        return _current.get() is not None

    def __call__(self, event: CallEvent | BatchEvent) -> None:
        write = _current.get()
        if write is not None:
            write(as_data(event))


#: writes to the run that the current code belongs to
_current: ContextVar[Write | None] = ContextVar("toolslot_langgraph_stream", default=None)
