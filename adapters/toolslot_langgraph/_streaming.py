"""The events of a run's calls, in the run's own stream."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from langchain_core.runnables import RunnableConfig

from toolslot.hosting import EventStream
from toolslot_langgraph._compat import config_entered

#: writes to `stream_mode="custom"` of the run that events belong to
stream = EventStream("langgraph")


def streaming(runtime: object, config: RunnableConfig) -> AbstractContextManager[None]:
    """Until it ends, events are written to the stream of the run that `runtime` and `config` belong to."""
    write: Callable[[dict[str, Any]], None] | None = getattr(runtime, "stream_writer", None)
    if write is None:
        return stream.to(None)

    def to_own_run(data: dict[str, Any]) -> None:
        # LangGraph's writer takes the namespace from the config that is current, which asyncio does not hand down before Python 3.11.
        with config_entered(config):
            write(data)

    return stream.to(to_own_run)
