"""Savers whose `put_writes` takes its time, as one on the other side of a network does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

#: called when results of tools are about to be written, or have been
Told = Callable[[], None]


def _is_result(writes: Sequence[tuple[str, Any]]) -> bool:
    return any(
        isinstance(message, ToolMessage)
        for channel, value in writes
        if channel == "messages"
        for message in (value if isinstance(value, list) else [value])
    )


class SlowSaver(SqliteSaver):
    seconds = 0.0
    writing: Told
    saved: Told

    def put_writes(self, config: Any, writes: Sequence[tuple[str, Any]], *args: Any, **kwargs: Any) -> None:
        if not _is_result(writes):
            super().put_writes(config, writes, *args, **kwargs)
            return
        self.writing()
        time.sleep(self.seconds)
        super().put_writes(config, writes, *args, **kwargs)
        self.saved()


class SlowAsyncSaver(AsyncSqliteSaver):
    seconds = 0.0
    writing: Told
    saved: Told

    async def aput_writes(
        self, config: Any, writes: Sequence[tuple[str, Any]], *args: Any, **kwargs: Any
    ) -> None:
        if not _is_result(writes):
            await super().aput_writes(config, writes, *args, **kwargs)
            return
        self.writing()
        await asyncio.sleep(self.seconds)
        await super().aput_writes(config, writes, *args, **kwargs)
        self.saved()
