"""Whether another instrumentation makes spans of tool calls."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, cast

from opentelemetry.trace import Span

from toolslot.instrumentation._opentelemetry import _names as names


def is_tool_span(span: Span) -> bool:
    """Whether a span that is recorded is that of a tool call, by its name or the attributes of GenAI, OpenInference or Traceloop."""
    if not span.is_recording():
        return False
    name: object = getattr(span, "name", "")
    if isinstance(name, str) and name.split(" ")[0] == names.EXECUTE_TOOL:
        return True
    attributes: object = getattr(span, "attributes", None)
    if not isinstance(attributes, Mapping):
        return False
    marks = cast("Mapping[str, object]", attributes)
    return any(str(marks.get(key, "")).lower() == value for key, value in names.TOOL_MARKS)


def is_instrumented(adapter: str) -> bool:
    """Whether an OpenTelemetry instrumentation of the adapter's framework is active, of whatever vendor."""
    parts = names.INSTRUMENTED.get(adapter)
    module: Any = sys.modules.get("opentelemetry.instrumentation.instrumentor")
    if parts is None or module is None:
        return False
    return any(
        getattr(getattr(cls, "_instance", None), "is_instrumented_by_opentelemetry", False) is True
        for cls in module.BaseInstrumentor.__subclasses__()
        if any(part in cls.__module__.lower() for part in parts)
    )
