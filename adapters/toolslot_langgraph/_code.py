"""A call's code, as the journal is to run it: what came of it here, and what its exceptions mean."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from toolslot import BatchRun, Draining
from toolslot.hosting import CallTask
from toolslot_langgraph._execution import drained
from toolslot_langgraph._outputs import UNMADE, guarded, is_error, undrained


class Code:
    """The code of one call for one entrance, for `BatchRun.call` and `acall`.

    `around` is entered while it runs.
    """

    def __init__(self, around: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        #: whether it was run here; else the answer comes from the record
        self.ran = False
        self._around = around
        self._made: object = UNMADE

    def made(self, value: object) -> bool:
        """Whether an answer is what the code made here; what is recorded of an attempt that failed here is not."""
        return value is self._made

    def sync(self, run: Callable[[], object]) -> Callable[[], object]:
        """The code that runs the call by `run`."""

        def code() -> object:
            with self._inside() as inside:
                try:
                    self._made = undrained(run(), inside)
                except Exception as error:
                    self._made = guarded(error)
            return self._made

        return code

    def awaiting(self, run: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        """The code that runs the call by what `run` gives to await."""

        async def code() -> object:
            with self._inside() as inside:
                try:
                    self._made = undrained(await run(), inside)
                except Exception as error:
                    self._made = guarded(error)
            return self._made

        return code

    @contextmanager
    def _inside(self) -> Generator[list[Draining]]:
        self.ran = True
        inside: list[Draining] = []
        token = drained.set(inside)
        try:
            with self._around():
                yield inside
        finally:
            drained.reset(token)


async def acalled(
    run: BatchRun, index: int, code: Callable[[], Awaitable[object]], *, unserved: bool, held: bool = False
) -> object:
    """The answer of call `index`, with `held` before it is recorded. When its caller is cancelled, async code is too, and has ended; a sync
    tool's thread goes on.
    """
    task = CallTask()
    try:
        return await run.acall(index, code, is_error=is_error, offload=task, unserved=unserved, held=held)
    except asyncio.CancelledError:
        await task.cancelled()
        raise
    finally:
        task.cancel()
