"""The default hook: events as log records, with flat `extra` fields and without arguments."""

from __future__ import annotations

import logging

from toolslot._domain._events import BatchEvent, CallEvent, Event, EventKind
from toolslot._text import quoted, shown

_LEVELS = {
    EventKind.UNKNOWN: logging.WARNING,
    EventKind.TIMED_OUT: logging.WARNING,
    EventKind.LATE_RESULT: logging.WARNING,
    EventKind.REFUSED: logging.WARNING,
    EventKind.NOT_STORABLE: logging.WARNING,
    EventKind.RERUN: logging.WARNING,
    EventKind.MISMATCH: logging.WARNING,
    EventKind.FAILED: logging.INFO,
    EventKind.RECONCILED: logging.INFO,
    EventKind.REPEATED: logging.INFO,
    EventKind.REPLAYED: logging.INFO,
    EventKind.DEDUPLICATED: logging.INFO,
    EventKind.WAITING: logging.INFO,
    EventKind.NOTED: logging.INFO,
}


class LoggingHook:
    """Writes to the logger "toolslot": what needs attention as WARNING, outcomes that are not ordinary as INFO, the rest as DEBUG."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger if logger is not None else logging.getLogger("toolslot")

    def wants(self, kind: EventKind | None) -> bool:
        """Whether a record of such an event would be kept."""
        return self._logger.isEnabledFor(logging.DEBUG if kind is None else _LEVELS.get(kind, logging.DEBUG))

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchEvent):
            self._batch(event)
        else:
            self._call(event)

    def _call(self, event: CallEvent) -> None:
        level = _LEVELS.get(event.kind, logging.DEBUG)
        extra: dict[str, object] = {
            "event": f"toolslot.{event.kind.value}",
            "run_id": event.run_id,
            "batch_id": event.batch_id,
            "slot_index": event.index,
            "tool": event.tool,
            "call_id": event.call_id,
            "state": event.state.value,
            "attempt": event.attempt,
            "latency": event.latency,
            "queued": event.queued,
            "error_type": event.error_type,
        }
        if event.args is not None:
            extra["tool_args"] = dict(event.args)
        # Names come from the model: control characters must not get into the log.
        self._logger.log(
            level,
            "toolslot.%s tool=%s call=%d attempt=%d run=%s%s",
            event.kind.value,
            quoted(event.tool),
            event.index,
            event.attempt,
            quoted(event.run_id),
            f": {shown(event.detail, 1000)}" if event.detail else "",
            extra=extra,
        )

    def _batch(self, event: BatchEvent) -> None:
        replayed = sum(call.replayed for call in event.calls)
        self._logger.debug(
            "toolslot.batch run=%s calls=%d replayed=%d closed=%s seconds=%.3f",
            quoted(event.run_id),
            len(event.calls),
            replayed,
            event.closed,
            event.ended_at - event.opened_at,
            extra={
                "event": "toolslot.batch",
                "run_id": event.run_id,
                "batch_id": event.batch_id,
                "epoch": event.epoch,
                "replayed": replayed,
            },
        )
