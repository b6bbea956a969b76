"""Batches and calls as OpenTelemetry spans and metrics."""

from __future__ import annotations

from toolslot.instrumentation._opentelemetry._hook import OpenTelemetryHook, Spans

__all__ = ["OpenTelemetryHook", "Spans"]
