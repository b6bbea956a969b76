"""Events as plain data."""

from __future__ import annotations

from typing_extensions import assert_never

from toolslot._domain._events import BatchEvent, CallEvent, Event


def as_data(event: Event) -> dict[str, object]:
    """The event as JSON data: `type` is "toolslot", `event` the kind of a call's event or "batch"; times are wall-clock seconds.

    No arguments and no results are in it.
    """
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
