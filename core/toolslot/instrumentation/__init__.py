"""Hooks that turn events into something people look at, and what a hook of one's own may have: `HookMethods`.

`OpenTelemetryHook` needs the extra `otel`, and `ProgressHook` the extra `progress` unless it is given a bar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolslot._domain._events import HookMethods
from toolslot.instrumentation._data import as_data
from toolslot.instrumentation._lines import JsonLinesHook
from toolslot.instrumentation._logging import LoggingHook
from toolslot.instrumentation._progress import ProgressHook

if TYPE_CHECKING:
    from toolslot.instrumentation._opentelemetry import OpenTelemetryHook

__all__ = ["HookMethods", "JsonLinesHook", "LoggingHook", "OpenTelemetryHook", "ProgressHook", "as_data"]


def __getattr__(name: str) -> object:
    if name != "OpenTelemetryHook":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from toolslot.instrumentation._opentelemetry import OpenTelemetryHook
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise ImportError(
            "OpenTelemetryHook needs opentelemetry-api, which is not installed: pip install 'toolslot[otel]'"
        ) from error
    return OpenTelemetryHook
