"""What is counted and measured of calls."""

from __future__ import annotations

import time

from opentelemetry.metrics import Meter
from opentelemetry.util.types import AttributeValue

from toolslot._domain._events import CallEvent, EventKind
from toolslot.instrumentation._opentelemetry import _names as names

#: seconds; what the GenAI conventions advise for operations
_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


class Metrics:
    """The instruments. Every measurement names the tool, and no run or batch: these are without end."""

    def __init__(self, meter: Meter) -> None:
        self._duration = meter.create_histogram(
            names.EXECUTE_TOOL_DURATION,
            unit="s",
            description="How long tools ran, from their start to the record of their end.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._queue = meter.create_histogram(
            names.QUEUE_DURATION,
            unit="s",
            description="How long calls waited for a place among those that may run at once.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._running = meter.create_up_down_counter(
            names.RUNNING, unit="{call}", description="Calls that run now."
        )
        self._replays = meter.create_counter(
            names.REPLAYS, unit="{call}", description="Calls whose recorded result was handed out."
        )
        self._unknowns = meter.create_counter(
            names.UNKNOWNS,
            unit="{call}",
            description="Calls that began and left no record of their end.",
        )

    def begin(self, started: CallEvent) -> None:
        self._running.add(1, _of(started))
        if started.queued is not None:
            self._queue.record(started.queued, _of(started))

    def end(self, started: CallEvent, ended: CallEvent | None, error: str | None) -> None:
        """The attempt is over here; `ended` is the event that told of its end, if any did, `error` its `error.type`."""
        self._running.add(-1, _of(started))
        attributes = {names.OPERATION_NAME: names.EXECUTE_TOOL, **_of(started)}
        if error is not None:
            attributes[names.ERROR_TYPE] = error
        latency = ended.latency if ended is not None else None
        self._duration.record(
            latency if latency is not None else max(time.time() - started.at, 0.0), attributes
        )

    def count(self, event: CallEvent) -> None:
        if event.kind is EventKind.REPLAYED:
            self._replays.add(1, _of(event))
        elif event.kind in (EventKind.UNKNOWN, EventKind.TIMED_OUT):
            reason = event.reason.value if event.reason is not None else names.OTHER_ERROR
            self._unknowns.add(1, {**_of(event), names.REASON: reason})


def _of(event: CallEvent) -> dict[str, AttributeValue]:
    return {names.TOOL_NAME: event.tool}
