"""The events of a run's calls, in the run's own stream."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from toolslot._domain._events import BatchEvent, CallEvent, EventKind
from toolslot.instrumentation import as_data


class EventStream:
    """A hook that writes events, as plain data, to the stream of the run that the current code belongs to. A host has one for all its runs.

    No arguments and no results of tools are in the events. Those that come when their run has gone are not written.
    """

    def __init__(self, host: str) -> None:
        self._write: ContextVar[Callable[[dict[str, Any]], None] | None] = ContextVar(
            f"toolslot_{host}_stream", default=None
        )

    @contextmanager
    def to(self, write: Callable[[dict[str, Any]], None] | None) -> Generator[None]:
        """Until it ends, events are written by `write`; None: nowhere.

        It counts for this thread or task and for those that copy its context. To be entered by every run, also by one without a stream: so
        nothing that happens inside a call reaches the stream of the run around it.
        """
        token = self._write.set(write)
        try:
            yield
        finally:
            self._write.reset(token)

    def wants(self, kind: EventKind | None) -> bool:
        """Whether there is a stream to write to."""
        return self._write.get() is not None

    def __call__(self, event: CallEvent | BatchEvent) -> None:
        write = self._write.get()
        if write is not None:
            write(as_data(event))
