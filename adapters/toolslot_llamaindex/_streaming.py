"""The events of a run's calls, in the run's own stream."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from llama_index.core.workflow import Context, Event

from toolslot.hosting import EventStream


class ToolslotEvent(Event):
    """What happened to a call (`event="started"`, ...) or to a batch (`event="batch"`), for `durable(agent, stream_events=True)`.

    It has the fields of the event as attributes, times in wall-clock seconds: of a call `index`, `tool`, `tool_call_id`, `state`,
    `attempt`, `at`, `queued`, `latency`, `replayed`, `reason`, `error_type`, `detail`. No arguments and no results are in it.
    """

    event: str
    run_id: str
    batch_id: str


#: writes to the stream of the run whose step is running
stream = EventStream("llamaindex")


def streaming(ctx: Context[Any]) -> AbstractContextManager[None]:
    """Until it ends, events are written to the stream of this run. To be entered in every step, so that no run writes to another's."""

    def write(data: dict[str, Any]) -> None:
        fields = {name: value for name, value in data.items() if name != "type"}
        ctx.write_event_to_stream(ToolslotEvent(**fields))

    return stream.to(write)
