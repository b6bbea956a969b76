"""The events of a run's calls, in the run's own stream."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from llama_index.core.workflow import Context, Event

from toolslot import BatchEvent, CallEvent, EventKind
from toolslot.instrumentation import as_data


class ToolslotEvent(Event):
    """What happened to a call (`event="started"`, ...) or to a batch (`event="batch"`), for `durable(agent, stream_events=True)`.

    It has the fields of the event as attributes, times in wall-clock seconds: of a call `index`, `tool`, `tool_call_id`, `state`,
    `attempt`, `at`, `queued`, `latency`, `replayed`, `reason`, `error_type`, `detail`. No arguments and no results are in it.
    """

    event: str
    run_id: str
    batch_id: str


@contextmanager
def streaming(ctx: Context[Any]) -> Generator[None]:
    """Until it ends, `StreamHook` writes to the stream of this run. To be entered in every step, so that no run writes to another's."""
    token = _current.set(ctx)
    try:
        yield
    finally:
        _current.reset(token)


class StreamHook:
    """Writes events to the stream of the run whose step is running. Events that come when it has gone are not written."""

    def wants(self, kind: EventKind | None) -> bool:
        """Whether there is a stream to write to."""
        return _current.get() is not None

    def __call__(self, event: CallEvent | BatchEvent) -> None:
        ctx = _current.get()
        if ctx is not None:
            data: dict[str, Any] = {name: value for name, value in as_data(event).items() if name != "type"}
            ctx.write_event_to_stream(ToolslotEvent(**data))


_current: ContextVar[Context[Any] | None] = ContextVar("toolslot_llamaindex_stream", default=None)
