"""Events as OpenTelemetry spans and metrics."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from opentelemetry import context, metrics, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from toolslot._batch._context import current as call_around
from toolslot._domain._events import BatchEvent, CallEvent, Event, EventKind
from toolslot._domain._slot import BatchKey
from toolslot._errors import InvalidSetting
from toolslot.instrumentation._opentelemetry import _names as names
from toolslot.instrumentation._opentelemetry._frameworks import is_instrumented, is_tool_span
from toolslot.instrumentation._opentelemetry._metrics import Metrics
from toolslot.instrumentation._opentelemetry._traceparent import as_span_context, as_traceparent, nanoseconds

Spans: TypeAlias = Literal["auto", "always", "never"]


@dataclass(slots=True, eq=False)
class _Running:
    """An attempt under way: its span, if it has one, and how it has ended so far."""

    started: CallEvent
    span: Span | None
    ended: CallEvent | None = None


@dataclass(slots=True, eq=False)
class _Open:
    """A batch that is open: its span, the span around it, and the calls whose outcome was decided."""

    adapter: str
    span: Span
    around: trace.SpanContext
    settled: set[int] = field(default_factory=set[int])


class OpenTelemetryHook:
    """Tells OpenTelemetry of batches and calls: `DurableExecutor(hooks=[LoggingHook(), OpenTelemetryHook()])`, or `hooks=` of an adapter.

    A batch is a span `toolslot.batch`, from its opening in this process to its end. It links to the spans of the batch's earlier owners:
    so a resumed run leads to the trace of the one that died. A call is a span `execute_tool {tool}` by the GenAI conventions; the spans
    that a tool makes are below it. What becomes of a call otherwise (unknown, reconciled, a late result) is an event of the batch's span.

    Args:
        tracer: Default: that of the global tracer provider.
        meter: Default: that of the global meter provider.
        spans: "auto" makes no second span of a call where the framework makes one: if the current span is that of a tool, it gets our
            attributes; if an instrumentation of the framework is active, only replayed calls, of which it does not hear, get spans.
            "always" makes a span of every call, "never" of none.
        arguments: Put arguments that events carry (`TOOLSLOT_LOG_ARGS=1`) on the spans. They may hold secrets. Results never are.

    Raises:
        InvalidSetting: `spans` is none of the three.
    """

    def __init__(
        self,
        *,
        tracer: trace.Tracer | None = None,
        meter: metrics.Meter | None = None,
        spans: Spans = "auto",
        arguments: bool = False,
    ) -> None:
        if spans not in get_args(Spans):
            raise InvalidSetting(f"spans={spans!r} is not known: choose 'auto', 'always' or 'never'.")
        self._tracer = tracer if tracer is not None else trace.get_tracer(names.SCOPE)
        self._metrics = Metrics(meter if meter is not None else metrics.get_meter(names.SCOPE))
        self._spans: Spans = spans
        self._arguments = arguments
        self._lock = threading.Lock()
        # By when they were opened: a batch may be opened again here before the event of its last owner's end.
        self._batches: dict[BatchKey, dict[float, _Open]] = {}
        self._running: dict[tuple[BatchKey, int], _Running] = {}

    # --- batches --------------------------------------------------------------------------------------------------------

    def opening(self, key: BatchKey, adapter: str, at: float) -> str | None:
        """Begin the batch's span. The `traceparent` that the journal is to keep."""
        around = trace.get_current_span().get_span_context()
        span = self._tracer.start_span(
            names.BATCH_SPAN,
            kind=SpanKind.INTERNAL,
            attributes={names.RUN_ID: key.run_id, names.BATCH_ID: key.batch_id, names.ADAPTER: adapter},
            start_time=nanoseconds(at),
        )
        with self._lock:
            self._batches.setdefault(key, {})[at] = _Open(adapter, span, around)
        return as_traceparent(span.get_span_context())

    def opened(self, asked: BatchKey, found: BatchKey | None, at: float) -> None:
        """End the span of a batch that could not be opened; find it again under the name of a batch that was adopted."""
        if found == asked:
            return
        batch = self._gone(asked, at)
        if batch is None:
            return
        if found is None:
            batch.span.set_status(Status(StatusCode.ERROR))
            batch.span.end()
            return
        batch.span.set_attribute(names.BATCH_ID, found.batch_id)
        with self._lock:
            self._batches.setdefault(found, {})[at] = batch

    def _gone(self, key: BatchKey, at: float) -> _Open | None:
        with self._lock:
            opened = self._batches.get(key, {})
            batch = opened.pop(at, None)
            if not opened:
                self._batches.pop(key, None)
            return batch

    def _batch(self, event: CallEvent) -> _Open | None:
        with self._lock:
            opened = self._batches.get(_key(event), {})
            return next(reversed(opened.values())) if opened else None

    def _end_batch(self, event: BatchEvent) -> None:
        batch = self._gone(BatchKey(event.run_id, event.batch_id), event.opened_at)
        if batch is None:
            return
        batch.span.set_attributes(
            {
                names.BATCH_SIZE: len(event.calls),
                names.BATCH_REPLAYED: sum(call.replayed for call in event.calls),
                names.BATCH_CLOSED: event.closed,
                names.EPOCH: event.epoch,
            }
        )
        for earlier in event.traces:
            linked = as_span_context(earlier)
            if linked is not None:
                batch.span.add_link(linked)
        batch.span.end(nanoseconds(event.ended_at))

    # --- attempts -------------------------------------------------------------------------------------------------------

    @contextmanager
    def running(self, started: CallEvent) -> Generator[None]:
        """Make the call's span the current one while its code runs, here and in threads that copy the context."""
        span, own = self._span_of(started)
        place = _key(started), started.index
        running = self._running[place] = _Running(started, span)
        self._metrics.begin(started)
        token = context.attach(trace.set_span_in_context(span)) if span is not None and own else None
        try:
            yield
        finally:
            if token is not None:
                context.detach(token)
            if self._running.get(place) is running:
                del self._running[place]
            self._finish(running, own=own)

    def _span_of(self, started: CallEvent) -> tuple[Span | None, bool]:
        """The span that tells of this attempt, and whether it is ours to end."""
        batch = self._batch(started)
        there = None if self._spans == "always" else _tool_span(batch)
        if there is not None:
            return there, False
        if self._spans == "never" or (
            self._spans == "auto" and batch is not None and is_instrumented(batch.adapter)
        ):
            return None, False
        return self._start(started, batch), True

    def _start(self, event: CallEvent, batch: _Open | None) -> Span:
        parent, links = None, list[Link]()
        if batch is not None:
            current = trace.get_current_span().get_span_context()
            if current.is_valid and current != batch.around:
                # The host has given the call a span of its own, as it does where each call is a task.
                links.append(Link(batch.span.get_span_context()))
            else:
                parent = trace.set_span_in_context(batch.span)
        return self._tracer.start_span(
            f"{names.EXECUTE_TOOL} {event.tool}",
            context=parent,
            kind=SpanKind.INTERNAL,
            attributes=self._attributes(event),
            links=links,
            start_time=nanoseconds(event.at),
        )

    def _attributes(self, event: CallEvent) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            names.OPERATION_NAME: names.EXECUTE_TOOL,
            names.TOOL_NAME: event.tool,
            names.TOOL_TYPE: "function",
            names.TOOL_CALL_ID: event.call_id,
            **_ours(event),
        }
        if self._arguments and event.args is not None:
            attributes[names.TOOL_CALL_ARGUMENTS] = json.dumps(event.args, default=str)
        return attributes

    def _finish(self, running: _Running, *, own: bool) -> None:
        started, ended = running.started, running.ended
        outcome, error = _outcome(ended)
        self._metrics.end(started, ended, error)
        attributes: dict[str, AttributeValue] = {**_ours(started), names.OUTCOME: outcome}
        if error is not None:
            attributes[names.ERROR_TYPE] = error
        span = running.span
        if span is None:
            batch = self._batch(started)
            if batch is not None:
                attributes[names.TOOL_NAME] = started.tool
                batch.span.add_event(f"{names.SCOPE}.call", attributes)
            return
        span.set_attributes(attributes)
        if own:
            if error is not None:
                span.set_status(Status(StatusCode.ERROR))
            span.end()

    # --- events ---------------------------------------------------------------------------------------------------------

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchEvent):
            self._end_batch(event)
            return
        running = self._running.get((_key(event), event.index))
        if running is not None and event.kind in _ENDS:
            running.ended = event
        self._metrics.count(event)
        if event.kind in _NOT_ENTERED:
            self._not_entered(event)
        elif event.kind not in _TOLD_BY_SPANS:
            self._note(event)

    def _not_entered(self, event: CallEvent) -> None:
        batch = self._batch(event)
        there = None if self._spans == "always" else _tool_span(batch)
        settled = batch is not None and event.index in batch.settled
        outcome: dict[str, AttributeValue] = {names.OUTCOME: "resolved" if settled else event.kind.value}
        if event.error_type is not None:
            outcome[names.ERROR_TYPE] = event.error_type
        if there is not None:
            there.set_attributes({**_ours(event), **outcome})
        elif self._spans != "never":
            span = self._start(event, batch)
            span.set_attributes(outcome)
            if event.error_type is not None:
                span.set_status(Status(StatusCode.ERROR))
            span.end(nanoseconds(event.at))

    def _note(self, event: CallEvent) -> None:
        batch = self._batch(event)
        if batch is None:
            return
        if event.kind is EventKind.RECONCILED:
            batch.settled.add(event.index)
        attributes: dict[str, AttributeValue] = {names.TOOL_NAME: event.tool, **_ours(event)}
        if event.reason is not None:
            attributes[names.REASON] = event.reason.value
        running = self._running.get((_key(event), event.index))
        span = batch.span
        if event.kind is EventKind.NOTED:
            attributes[names.NOTE] = event.detail
            span = (running and running.span) or span
        span.add_event(f"{names.SCOPE}.{event.kind.value}", attributes, nanoseconds(event.at))


#: how an attempt may end
_ENDS = frozenset(
    {
        EventKind.FINISHED,
        EventKind.FAILED,
        EventKind.TIMED_OUT,
        EventKind.UNKNOWN,
        EventKind.WAITING,
        EventKind.WITHDRAWN,
    }
)
#: what gives a call an answer without an attempt
_NOT_ENTERED = frozenset({EventKind.REPLAYED, EventKind.DEDUPLICATED, EventKind.REFUSED})
#: a call's span, or its event where it has none, says the same
_TOLD_BY_SPANS = frozenset(
    {EventKind.RESERVED, EventKind.STARTED, EventKind.FINISHED, EventKind.FAILED, EventKind.WAITING}
)


def _tool_span(batch: _Open | None) -> Span | None:
    """The span that a framework has made for this call; not that of the call around it, where a tool runs calls of its own."""
    span = trace.get_current_span()
    if not is_tool_span(span):
        return None
    inside_another = call_around.get() is not None
    return None if inside_another and batch is not None and span.get_span_context() == batch.around else span


def _outcome(ended: CallEvent | None) -> tuple[str, str | None]:
    """How an attempt ended, and its `error.type`. Unknown without a record of its end."""
    match ended.kind if ended is not None else None:
        case EventKind.FINISHED:
            return "executed", None
        case EventKind.FAILED:
            assert ended is not None
            return "failed", (ended.error_type or names.OTHER_ERROR).removeprefix("builtins.")
        case EventKind.WAITING:
            return "waiting", None
        case EventKind.WITHDRAWN:
            return "withdrawn", None
        case EventKind.TIMED_OUT:
            return "unknown", "timeout"
        case _:
            return "unknown", names.OTHER_ERROR


def _key(event: CallEvent) -> BatchKey:
    return BatchKey(event.run_id, event.batch_id)


def _ours(event: CallEvent) -> dict[str, AttributeValue]:
    ours: dict[str, AttributeValue] = {
        names.RUN_ID: event.run_id,
        names.BATCH_ID: event.batch_id,
        names.SLOT_INDEX: event.index,
        names.ATTEMPT: event.attempt,
    }
    if event.queued is not None:
        ours[names.QUEUE_MS] = event.queued * 1000
    return ours
