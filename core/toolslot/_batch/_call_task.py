"""A call's async code as a task of its own, which goes on while sync code of the call is inside a thread.

Async frameworks run sync tools in threads. A thread cannot be stopped: when the task that waits for it is cancelled, its effect still
happens and its result is lost. Here the task is cancelled only while no thread is inside, so the result comes back the way it always does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

from typing_extensions import override

from toolslot._batch._bridge import copy_outcome

P = ParamSpec("P")
T = TypeVar("T")


class CallTask(Executor):
    """Runs the code of one call, for `BatchRun.acall(offload=...)`. `cancel` it when its caller goes."""

    def __init__(self) -> None:
        self._task: _Task | None = None
        self._outcome: Future[Any] | None = None
        self._lock = threading.Lock()
        self._left = False
        #: the threads that are waited for, whose code was entered
        self._inside: set[object] = set()
        #: how many threads run the call's code, waited for or not, and what is told when none does
        self._running = 0
        self._idle: Future[object] | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin. `fn` returns an awaitable; to be called in the event loop. The future is done when the code is."""
        future = self._outcome = Future[Any]()
        token = _current.set(self)
        try:
            task = self._task = _Task(self, fn(*args, **kwargs))
        finally:
            _current.reset(token)
        task.add_done_callback(partial(copy_outcome, future))
        return future

    @property
    def gave_up(self) -> bool:
        """Whether the code was cancelled from inside, not by `cancel`."""
        return self._task is not None and self._task.cancelled()

    def cancel(self) -> None:
        """Its caller goes. Async code is cancelled; sync code inside a thread goes on to its end, and none is entered any more."""
        if self._task is not None:
            self._task.cancel()

    async def cancelled(self) -> None:
        """As `cancel`; async code has ended when this returns."""
        self.cancel()
        if self._task is not None and not self._inside:
            await asyncio.wait((self._task,))

    def leave(self) -> bool:
        """Its caller goes. Whether it may be cancelled: no thread is inside."""
        with self._lock:
            self._left = True
            return not self._inside

    def left_behind(self) -> Future[object] | None:
        """Completes when no thread runs the call's code any more; None if none does."""
        with self._lock:
            if self._running and self._idle is None:
                self._idle = Future()
            return self._idle if self._running else None

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._running -= 1
            idle = stranded = None
            if not self._running:
                idle, self._idle = self._idle, None
                # The code behind the thread goes on in the loop; once that is closed it never does, and its call is cancelled.
                stranded = self._outcome if loop.is_closed() else None
        if idle is not None:
            idle.set_result(None)
        if stranded is not None and not stranded.done():
            stranded.set_exception(asyncio.CancelledError())

    async def wait_for_thread(self, fn: Callable[[], T]) -> T:
        """See `in_thread`."""
        withdrawn, thread = False, object()

        def body() -> T | None:
            with self._lock:
                if self._left or withdrawn:
                    return None  # it goes nowhere
                self._inside.add(thread)
                self._running += 1
            try:
                return fn()
            except StopIteration as error:
                raise RuntimeError("the tool raised StopIteration") from error  # no future can hold that
            finally:
                self._ended(loop)

        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(None, copy_context().run, body)
        try:
            while not running.done():
                try:
                    await asyncio.wait((running,))
                except asyncio.CancelledError:
                    with self._lock:
                        withdrawn = thread not in self._inside
                        # A call may give up waiting for its own thread, by a timeout around it.
                        goes = withdrawn or not self._left
                    if goes:
                        running.cancel()
                        raise
            if thread not in self._inside:
                raise asyncio.CancelledError
            return cast("T", running.result())
        finally:
            with self._lock:
                self._inside.discard(thread)


class _Task(asyncio.Task[Any]):
    def __init__(self, call: CallTask, awaitable: Awaitable[Any]) -> None:
        async def code() -> Any:
            return await awaitable

        self._call = call
        super().__init__(code(), loop=asyncio.get_running_loop())

    @override
    def cancel(self, msg: Any | None = None) -> bool:
        """Whether it will be cancelled. A loop that ends cancels all its tasks and waits for them, for this one to the thread's end."""
        if self._from_outside() and not self._call.leave():
            return False
        return super().cancel(msg)

    def _from_outside(self) -> bool:
        try:
            current = asyncio.current_task()
        except RuntimeError:
            return True  # by a loop that is ending
        # Timeouts and cancel scopes of the code itself cancel from callbacks, where no task is the current one.
        return current is not None and current is not self


_current: ContextVar[CallTask | None] = ContextVar("toolslot_call_task", default=None)


async def in_thread(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run sync code of a call in a thread of the loop's, with the context copied; its task is not cancelled before the end."""
    call = _current.get()
    return await (call if call is not None else CallTask()).wait_for_thread(partial(fn, *args, **kwargs))
