"""A call's code, as the journal is to run it: what came of it here, and what its exceptions mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from toolslot import BatchRun, Draining
from toolslot.hosting import CallTask, Consult, Steps
from toolslot_langgraph._contents import Watch, watch
from toolslot_langgraph._execution import drained
from toolslot_langgraph._outputs import UNMADE, guarded, is_error, undrained


class Code:
    """The code of one call for one entrance: `run`, async if `awaits`, with `around` entered while it runs. `keyed`: has an effect key."""

    def __init__(
        self,
        run: Callable[[], Any],
        *,
        awaits: bool,
        keyed: bool = False,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        #: whether it was run here; else the answer comes from the record
        self.ran = False
        self._run, self._awaits, self._around, self._keyed = run, awaits, around, keyed
        self._made: object = UNMADE
        #: where it is to be known what the tool raised, for its effect has a key
        self._watch: Watch | None = None

    def made(self, value: object) -> bool:
        """Whether an answer is what the code made here; what is recorded of an attempt that failed here is not."""
        return value is self._made

    def called(self, run: BatchRun, index: int, *, unserved: bool, held: bool = False) -> Steps[object]:
        """The answer of call `index`, with `held` before it is recorded. When its caller is cancelled, async code is too, and has ended; a
        sync tool's thread goes on.
        """
        is_error = self._failure
        if not self._awaits:
            return (
                yield from run.calling(index, self._sync, is_error=is_error, unserved=unserved, held=held)
            )
        task = CallTask()
        try:
            return (
                yield from run.calling(
                    index, self._async, is_error=is_error, offload=task, unserved=unserved, held=held
                )
            )
        except asyncio.CancelledError:
            yield Consult(task.cancelled)
            raise
        finally:
            task.cancel()

    def _failure(self, value: object) -> bool | Exception:
        """Whether it tells of a failure, and of which one, if that is known."""
        return is_error(value) and ((self._watch and self._watch.error()) or True)

    def _sync(self) -> object:
        with self._inside() as inside:
            try:
                self._made = undrained(self._run(), inside)
            except Exception as error:
                self._made = guarded(error)
        return self._made

    async def _async(self) -> object:
        with self._inside() as inside:
            try:
                self._made = undrained(await self._run(), inside)
            except Exception as error:
                self._made = guarded(error)
        return self._made

    @contextmanager
    def _inside(self) -> Generator[list[Draining]]:
        self.ran = True
        inside: list[Draining] = []
        self._watch = Watch() if self._keyed else None
        tokens = drained.set(inside), watch.set(self._watch)
        try:
            with self._around():
                yield inside
        finally:
            drained.reset(tokens[0])
            watch.reset(tokens[1])
