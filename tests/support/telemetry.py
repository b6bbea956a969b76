"""OpenTelemetry with exporters in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from toolslot.instrumentation import OpenTelemetryHook


class Telemetry:
    """Providers of its own, and what has arrived there."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def hook(self, **settings: Any) -> OpenTelemetryHook:
        return OpenTelemetryHook(tracer=self.tracer, meter=self._meters.get_meter("test"), **settings)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """The spans that have ended and whose names begin so."""
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith(name)]

    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans())

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span

    def parent(self, span: ReadableSpan) -> str | None:
        """The name of the span above it."""
        if span.parent is None:
            return None
        return next(s.name for s in self.spans() if s.context.span_id == span.parent.span_id)

    def tree(self) -> dict[str, str | None]:
        """Each span's name, and that of the span above it."""
        return {span.name: self.parent(span) for span in self.spans()}

    def points(self, metric: str) -> list[tuple[Mapping[str, Any], Any]]:
        """The data points of a metric: attributes, and the sum of a counter or the count of a histogram."""
        data: Any = self._reader.get_metrics_data()
        return [
            (dict(point.attributes), point.value if hasattr(point, "value") else point.count)
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.data.data_points
        ]


def of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
