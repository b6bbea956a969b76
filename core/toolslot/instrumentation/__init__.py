"""Hooks that turn events into something people look at."""

from __future__ import annotations

from toolslot.instrumentation._logging import LoggingHook

__all__ = ["LoggingHook"]
