"""From the settings of a host to what runs its calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

from toolslot._codec import Codec, Contents
from toolslot._domain._events import Hook
from toolslot._domain._policy import Limits, ToolPolicy
from toolslot._domain._port import Journal
from toolslot._executor import DurableExecutor
from toolslot.hosting._streaming import EventStream
from toolslot.instrumentation import LoggingHook


def executor_for(
    journal: str | os.PathLike[str] | Journal | None,
    *,
    policies: Mapping[str, ToolPolicy],
    default_policy: ToolPolicy | None,
    limits: Limits | None,
    hooks: Sequence[Hook] | None,
    codec: Codec,
    pauses: tuple[type[BaseException], ...],
    cancels: tuple[type[BaseException], ...] = (),
    stream: EventStream | None = None,
    contents: Contents | None = None,
) -> DurableExecutor:
    """An executor for a host, from what its user has set: without `hooks` it has one `LoggingHook`, and `stream` comes after them.

    A replayed answer that could not be stored whole is handed out as the text of it that was kept: a model reads texts.

    Raises:
        InvalidSetting: a setting that means nothing.
    """
    every: list[Hook] = [LoggingHook()] if hooks is None else [*hooks]
    if stream is not None:
        every.append(stream)
    return DurableExecutor(
        journal,
        policies=policies,
        default_policy=default_policy,
        limits=limits,
        hooks=every,
        codec=codec,
        pauses=pauses,
        cancels=cancels,
        contents=contents,
        lossy_replay=True,
    )


async def ajournal(executor: DurableExecutor) -> Journal:
    """The executor's journal, opened in a thread if it was not yet: that takes locks and reads files, which must not hold up the loop."""
    return executor.journal if executor.opened else await asyncio.to_thread(lambda: executor.journal)
