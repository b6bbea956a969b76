"""Sync tools. The framework runs them in threads, and a thread runs on after the wait for it is over: so does the call, then."""

from __future__ import annotations

from typing import Any

from toolslot.hosting import in_thread
from toolslot_llamaindex._compat import with_async_code


def outliving(tool: Any) -> Any:
    """The tool; in place of a sync one a copy for whose thread, once it is inside, the call's task waits to its end."""
    return with_async_code(tool, in_thread)
