"""The events of a run's calls, in the run's own stream."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from langchain_core.runnables import RunnableConfig
from typing_extensions import assert_never

from toolslot import BatchEvent, CallEvent, EventKind
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


def as_data(event: CallEvent | BatchEvent) -> dict[str, Any]:
    """The event as JSON data: `type` is "toolslot", `event` the kind of a call's event or "batch"; times are wall-clock seconds."""
    match event:
        case CallEvent():
            return {
                "type": "toolslot",
                "event": event.kind.value,
                "run_id": event.run_id,
                "batch_id": event.batch_id,
                "index": event.index,
                "tool": event.tool,
                "tool_call_id": event.call_id,
                "state": event.state.value,
                "attempt": event.attempt,
                "at": event.at,
                "queued": event.queued,
                "latency": event.latency,
                "replayed": event.replayed,
                "reason": None if event.reason is None else event.reason.value,
                "error_type": event.error_type,
                "detail": event.detail,
            }
        case BatchEvent():
            return {
                "type": "toolslot",
                "event": "batch",
                "run_id": event.run_id,
                "batch_id": event.batch_id,
                "epoch": event.epoch,
                "opened_at": event.opened_at,
                "ended_at": event.ended_at,
                "closed": event.closed,
                "calls": [
                    {
                        "index": call.index,
                        "tool": call.tool,
                        "state": call.state.value,
                        "attempt": call.attempt,
                        "queued_at": call.queued_at,
                        "started_at": call.started_at,
                        "ended_at": call.ended_at,
                        "latency": call.latency,
                        "replayed": call.replayed,
                    }
                    for call in event.calls
                ],
            }
        case _:
            assert_never(event)


#: writes to the run that the current code belongs to
_current: ContextVar[Write | None] = ContextVar("toolslot_langgraph_stream", default=None)
