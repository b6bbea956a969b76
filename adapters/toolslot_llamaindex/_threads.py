"""Sync tools. The framework runs them in threads, and a thread runs on after the wait for it is over: so does the call, then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from typing import Any

from toolslot_llamaindex._compat import with_async_code


class CallTask(Executor):
    """Runs a call's code as a task of its own. Its future is done when the code is, even if nobody waits for it any more."""

    def __init__(self) -> None:
        self._task: asyncio.Future[Any] | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin. `fn` returns a coroutine; to be called in the event loop."""
        future: Future[Any] = Future()
        self._task = task = asyncio.ensure_future(fn(*args, **kwargs))
        task.add_done_callback(partial(_copy_outcome, future))
        return future

    @property
    def gave_up(self) -> bool:
        """Whether the code was cancelled from inside, not by `cancel`."""
        return self._task is not None and self._task.cancelled()

    def cancel(self) -> None:
        """Nobody waits any more. Async code is stopped; a thread goes on to its end, and what it returns is recorded."""
        if self._task is not None:
            self._task.cancel()


def _copy_outcome(future: Future[Any], task: asyncio.Future[Any]) -> None:
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


def outliving(tool: Any) -> Any:
    """The tool; in place of a sync one a copy whose code, once a thread has entered it, is awaited to its end, cancelled or not."""
    return with_async_code(tool, _to_the_end)


async def _to_the_end(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    lock = threading.Lock()
    entered = withdrawn = False

    def body() -> Any:
        nonlocal entered
        with lock:
            if withdrawn:
                return None  # nobody gets it: the call was cancelled while it queued for a thread
            entered = True
        try:
            return fn(*args, **kwargs)
        except StopIteration as error:
            # No future takes it, so that the call would wait for ever. Generators and coroutines turn it into this error too.
            raise RuntimeError("the tool raised StopIteration") from error

    # Older versions of the framework do not give threads the context, and so not `current_call()`.
    running = asyncio.get_running_loop().run_in_executor(None, copy_context().run, body)
    while not running.done():
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError:
            with lock:
                withdrawn = not entered
            if withdrawn:
                running.cancel()
                raise
    return running.result()
