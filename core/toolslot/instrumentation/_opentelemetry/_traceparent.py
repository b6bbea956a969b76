"""Span contexts as the text that a journal keeps, and times as spans have them."""

from __future__ import annotations

import re

from opentelemetry.trace import SpanContext, TraceFlags

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def as_traceparent(span: SpanContext) -> str | None:
    """W3C trace context; None for a span that is not recorded."""
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def as_span_context(traceparent: str) -> SpanContext | None:
    """That span, to link to; None for a text that is none, since it may have been put there by anyone who can write the journal."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def nanoseconds(at: float) -> int:
    return int(at * 1e9)
