"""Awaiting thread futures from event loops, with one wake-up per loop for a whole group of them.

asyncio.wrap_future would cancel the thread future with the task; here a cancelled waiter leaves the work alone.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_lock = threading.Lock()
_due: WeakKeyDictionary[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = WeakKeyDictionary()


class Expired(TimeoutError):
    """The waiting took too long; what is waited for goes on. Never raised for a TimeoutError that the work itself raised."""


async def wait_for(future: Future[T], timeout: float | None = None) -> T:
    """The future's result. Cancellation ends the waiting, never the work.

    Raises:
        Expired: it was not done within `timeout` seconds; the future goes on.
    """
    if not future.done():
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(lambda _: _wake(loop, waiter))
        if timeout is None:
            await waiter
        else:
            await asyncio.wait((waiter,), timeout=timeout)
            if not future.done():
                waiter.cancel()
                raise Expired
    return future.result()


def copy_outcome(future: Future[T], done: asyncio.Future[T]) -> None:
    """Complete a thread future as a task ended; a cancellation becomes its exception, since the future itself was not cancelled."""
    error = asyncio.CancelledError() if done.cancelled() else done.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())


def _wake(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
    if _runs_here(loop):
        if not waiter.done():
            waiter.set_result(None)  # no other thread is in play, so the loop needs no call from outside
        return
    with _lock:
        due = _due.setdefault(loop, [])
        due.append(waiter)
        if len(due) > 1:
            return  # a wake-up is on its way and will take this one along
    try:
        loop.call_soon_threadsafe(_drain, loop)
    except RuntimeError:
        # The loop was closed: no task waits there any more, and the work itself is done.
        with _lock:
            _due.pop(loop, None)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _drain(loop: asyncio.AbstractEventLoop) -> None:
    with _lock:
        due = _due.pop(loop, [])
    for waiter in due:
        if not waiter.done():
            waiter.set_result(None)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not here may have held it
    _due.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
