"""Savers that take their time, as one across a network does: with results, or with the checkpoint before or after the calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

#: told of results that are about to be written or have been, of the model's answer, and of the checkpoint after it
Told = Callable[[], None]


def _written(kind: type[Any], writes: Sequence[tuple[str, Any]]) -> bool:
    return any(
        isinstance(message, kind)
        for channel, value in writes
        if channel == "messages"
        for message in (value if isinstance(value, list) else [value])
    )


def _last(checkpoint: Any) -> Any:
    """Its last message."""
    return (checkpoint["channel_values"].get("messages") or [None])[-1]


def _asks(checkpoint: Any) -> bool:
    """Whether its last message asks for calls."""
    return bool(getattr(_last(checkpoint), "tool_calls", None))


def _check(fails: bool) -> None:
    if fails:
        raise ConnectionError("the saver is away")


class SlowSaver(SqliteSaver):
    seconds = 0.0
    checkpoint_seconds = 0.0
    answers_seconds = 0.0
    every_seconds = 0.0
    fails_to_save_answer = False
    writing: Told
    saved: Told
    answered: Told

    def put(self, config: Any, checkpoint: Any, *args: Any, **kwargs: Any) -> Any:
        time.sleep(self.every_seconds)
        if _asks(checkpoint):
            _check(self.fails_to_save_answer)
            self.answered()
            time.sleep(self.checkpoint_seconds)
        if isinstance(_last(checkpoint), ToolMessage):
            time.sleep(self.answers_seconds)
        return super().put(config, checkpoint, *args, **kwargs)

    def put_writes(self, config: Any, writes: Sequence[tuple[str, Any]], *args: Any, **kwargs: Any) -> None:
        time.sleep(self.every_seconds)
        if _written(AIMessage, writes):
            _check(self.fails_to_save_answer)
        if not _written(ToolMessage, writes):
            super().put_writes(config, writes, *args, **kwargs)
            if _written(AIMessage, writes):
                self.answered()
            return
        self.writing()
        time.sleep(self.seconds)
        super().put_writes(config, writes, *args, **kwargs)
        self.saved()


class SlowAsyncSaver(AsyncSqliteSaver):
    seconds = 0.0
    checkpoint_seconds = 0.0
    answers_seconds = 0.0
    every_seconds = 0.0
    fails_to_save_answer = False
    writing: Told
    saved: Told
    answered: Told

    async def aput(self, config: Any, checkpoint: Any, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self.every_seconds)
        if _asks(checkpoint):
            _check(self.fails_to_save_answer)
            self.answered()
            await asyncio.sleep(self.checkpoint_seconds)
        if isinstance(_last(checkpoint), ToolMessage):
            await asyncio.sleep(self.answers_seconds)
        return await super().aput(config, checkpoint, *args, **kwargs)

    async def aput_writes(
        self, config: Any, writes: Sequence[tuple[str, Any]], *args: Any, **kwargs: Any
    ) -> None:
        await asyncio.sleep(self.every_seconds)
        if _written(AIMessage, writes):
            _check(self.fails_to_save_answer)
        if not _written(ToolMessage, writes):
            await super().aput_writes(config, writes, *args, **kwargs)
            if _written(AIMessage, writes):
                self.answered()
            return
        self.writing()
        await asyncio.sleep(self.seconds)
        await super().aput_writes(config, writes, *args, **kwargs)
        self.saved()
