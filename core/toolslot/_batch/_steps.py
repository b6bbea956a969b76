"""What a batch run may ask of its driver, and the two drivers: one that blocks, one that awaits.

A batch run is written once, as generators that yield these requests and get the answers sent back. All I/O, waiting and user code is
here; all decisions are there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

from typing_extensions import assert_never

from toolslot._batch._bridge import Expired, copy_outcome, wait_for
from toolslot._batch._call_task import CallTask
from toolslot._batch._pool import Demand, Permit, Pool
from toolslot._errors import ToolslotError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for a future for `timeout` seconds; the answer is its result. Raises `TimeoutError` when they have passed.

    A future that is waited for without a limit is a step itself.
    """

    future: Future[Any]
    timeout: float


@dataclass(frozen=True, slots=True)
class Acquire:
    """Wait for a permit; the answer is the `Permit`.

    Raises what `late` gives once `deadline` (monotonic seconds) has passed; and what `stuck` gives, of the names of the holders, when for
    `patience` seconds all that stood in the way were calls that have outlived their timeouts or callers.
    """

    pool: Pool
    demand: Demand
    deadline: float | None
    patience: float | None
    late: Callable[[], Exception]
    stuck: Callable[[Sequence[str]], Exception]


class Waiting:
    """A wait for a permit that has begun, unless it was to be had at once."""

    __slots__ = ("_before", "_since", "_step", "_ticket")

    def __init__(self, step: Acquire) -> None:
        self._step = step
        self._ticket = step.pool.request(step.demand)
        self._since = time.monotonic()
        #: who stood in the way at that time, if all of them have outlived their callers
        self._before: list[str] = (
            [] if self._ticket.permit is not None else step.pool.overstayers(self._ticket)
        )

    @property
    def permit(self) -> Permit | None:
        return self._ticket.permit

    def granted(self) -> Future[Permit | None]:
        """Completes with the permit, or with None when it is to be seen again how long to wait."""
        return self._ticket.granted()

    def patience(self) -> float | None:
        """How long to sleep: until a time is over, or until the tool's rate may allow the next start."""
        step, waits = self._step, list[float]()
        if step.demand.rate is not None and (hint := step.pool.poll()) is not None:
            waits.append(max(hint, 0.0))
        for until in (step.deadline, None if step.patience is None else self._since + step.patience):
            if until is not None:
                waits.append(max(until - time.monotonic(), 0.0))
        return min(waits, default=None)

    def check(self) -> None:
        """Raises when it has waited long enough."""
        step, now = self._step, time.monotonic()
        if self._ticket.permit is not None:
            return
        if step.deadline is not None and now >= step.deadline:
            raise step.late()
        if step.patience is not None and now >= self._since + step.patience:
            holders = step.pool.overstayers(self._ticket)
            if holders and holders == self._before:
                raise step.stuck(holders)
            self._since, self._before = now, holders

    def cancel(self) -> None:
        """Wait no more; a permit that was granted meanwhile is given back."""
        self._step.pool.cancel(self._ticket)


def _nowhere() -> Callable[[], None]:
    return lambda: None


@dataclass(slots=True)
class Invoke:
    """Enter the tool's code; the answer is what it returns. Raises `TimeoutError` when `timeout` seconds pass first.

    `offload`: run it there instead of in the current thread. `inside` is called before, to set the context that the code sees, and what it
    returns afterwards. `running` is set when the code runs elsewhere and may outlive the waiting;
    it completes when the code ends. `expired` tells a timeout from a TimeoutError that the tool raised. `refused`: the code could not be
    handed over, so it was not entered.
    """

    fn: Callable[[], object]
    timeout: float | None = None
    offload: Executor | None = None
    inside: Callable[[], Callable[[], None]] = _nowhere
    running: Future[object] | None = None
    expired: bool = False
    refused: bool = False

    @property
    def left_behind(self) -> Future[object] | None:
        """Completes when the threads have ended which the code, although it has ended, gave up waiting for; None if there are none."""
        return self.offload.left_behind() if isinstance(self.offload, CallTask) else None

    def withdraw(self) -> bool:
        """Take the code back if it was not entered; whether that is certain. Other executors say "cancelled" of code that runs."""
        if self.refused:
            return True
        if self.offload is None or self.running is None:
            return False
        from concurrent.futures import ProcessPoolExecutor  # it loads multiprocessing, which few need

        return isinstance(self.offload, (ThreadPoolExecutor, ProcessPoolExecutor)) and self.running.cancel()


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask a function of the user's or the host's, sync or async; the answer is its answer.

    From async code an async one is awaited where the steps run, and a sync one has a thread of its own: it may block. From sync code an
    async one gets an event loop in a thread of its own.
    """

    ask: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Pause:
    """Let `seconds` pass."""

    seconds: float = field()


Step: TypeAlias = "Future[Any] | Await | Acquire | Invoke | Consult | Pause"
Steps: TypeAlias = Generator[Step, Any, T]


def drive(steps: Steps[T]) -> T:
    """Run the steps in this thread."""
    try:
        step = next(steps)
        while True:
            try:
                answer = step.result() if isinstance(step, Future) else perform(step)
            except BaseException as error:  # the steps decide what an interruption means for the journal
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return cast("T", stop.value)


async def adrive(steps: Steps[T]) -> T:
    """Run the steps in this task."""
    _need_asyncio()
    try:
        step = next(steps)
        while True:
            try:
                answer = await (wait_for(step) if isinstance(step, Future) else _aperform(step))
            except (
                BaseException
            ) as error:  # cancellation above all: the steps withdraw or mark what they had begun
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return cast("T", stop.value)


def _need_asyncio() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ToolslotError(
            "the async doors of toolslot need asyncio, and its event loop is not running here (trio has a loop of its own). Nothing was"
            " reserved and nothing ran. Run the agent with asyncio.run(); or use the sync doors in a thread:"
            " trio.to_thread.run_sync(executor.run_all, batch, tools)."
        ) from None


def perform(step: Step) -> object:
    """Do it in this thread."""
    match step:
        case Future():
            return step.result()
        case Await():
            return _result(step.future, step.timeout)
        case Acquire():
            return _acquire(step)
        case Invoke():
            leave = step.inside()
            try:
                return _invoke(step)
            finally:
                leave()
        case Consult():
            return _consult(step)
        case Pause():
            time.sleep(step.seconds)
            return None
        case _:
            assert_never(step)


async def _aperform(step: Step) -> object:
    match step:
        case Future():
            return await wait_for(step)
        case Await():
            return await wait_for(step.future, step.timeout)
        case Acquire():
            return await _aacquire(step)
        case Invoke():
            leave = step.inside()
            try:
                return await _ainvoke(step)
            finally:
                leave()
        case Consult():
            return await _aconsult(step)
        case Pause():
            await asyncio.sleep(step.seconds)
            return None
        case _:
            assert_never(step)


def _result(future: Future[T], timeout: float | None) -> T:
    """The result; `Expired` when the waiting took too long."""
    try:
        return future.result(timeout)
    except concurrent.futures.TimeoutError as error:
        if future.done():
            return future.result()  # it ended at the last moment, or the error is its own
        raise Expired from error


# --- permits ------------------------------------------------------------------------------------------------------------


def _acquire(step: Acquire) -> Permit:
    waiting = Waiting(step)
    try:
        while (permit := waiting.permit) is None:
            with suppress(Expired):
                _result(waiting.granted(), waiting.patience())
            waiting.check()
        return permit
    except BaseException:
        waiting.cancel()
        raise


async def _aacquire(step: Acquire) -> Permit:
    waiting = Waiting(step)
    try:
        while (permit := waiting.permit) is None:
            with suppress(Expired):
                await wait_for(waiting.granted(), waiting.patience())
            waiting.check()
        return permit
    except BaseException:
        waiting.cancel()
        raise


# --- the tool's code ----------------------------------------------------------------------------------------------------


def _invoke(step: Invoke) -> object:
    if step.timeout is None and step.offload is None:
        return step.fn()
    step.running = _elsewhere(step)
    try:
        return _result(step.running, step.timeout)
    except Expired:
        step.expired = True
        raise


async def _ainvoke(step: Invoke) -> object:
    if step.offload is not None:
        step.running = _elsewhere(step)
        try:
            return await wait_for(step.running, step.timeout)
        except Expired:
            step.expired = True
            raise
    awaitable = step.fn()
    if not inspect.isawaitable(awaitable):
        return awaitable
    if step.timeout is None:
        return await awaitable
    return await _bounded(step, awaitable, step.timeout)


async def _bounded(step: Invoke, awaitable: Awaitable[object], timeout: float) -> object:
    task = asyncio.ensure_future(awaitable)
    step.running = Future()
    task.add_done_callback(partial(copy_outcome, step.running))
    try:
        done, _ = await asyncio.wait((task,), timeout=timeout)
    except BaseException:
        task.cancel()
        raise
    if not done:
        step.expired = True
        task.cancel()  # asked to stop; whether its effect still happens is not known
        raise TimeoutError
    return task.result()


def _elsewhere(step: Invoke) -> Future[object]:
    """Run the code in the given executor, or in a thread of its own, with the context copied."""
    try:
        return _handed_over(step)
    except BaseException:
        step.refused = True  # an executor that was shut down, no thread to be had
        raise


def _handed_over(step: Invoke) -> Future[object]:
    if isinstance(step.offload, ThreadPoolExecutor):
        return step.offload.submit(copy_context().run, step.fn)
    if step.offload is not None:
        return step.offload.submit(step.fn)  # another process cannot take the context along
    context = copy_context()
    future: Future[object] = Future()

    def body() -> None:
        try:
            future.set_result(context.run(step.fn))
        except BaseException as error:
            future.set_exception(error)

    # A daemon: a call that hangs for ever must not keep the interpreter from ending. Its slot is UNKNOWN by then.
    threading.Thread(target=body, name="toolslot-call", daemon=True).start()
    return future


# --- reconcilers --------------------------------------------------------------------------------------------------------


def _consult(step: Consult) -> object:
    answer = step.ask()
    if not inspect.isawaitable(answer):
        return answer
    awaitable = answer

    async def wait() -> object:
        return await awaitable

    # In a thread of its own: the current one may be running an event loop, which must neither be blocked twice nor nested.
    context = copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="toolslot-reconcile") as thread:
        return thread.submit(context.run, asyncio.run, wait()).result()


async def _aconsult(step: Consult) -> object:
    answer = step.ask() if is_async(step.ask) else await asyncio.to_thread(step.ask)
    return await answer if inspect.isawaitable(answer) else answer


def is_async(fn: Callable[..., object]) -> bool:
    """Whether calling it gives an awaitable."""
    while isinstance(fn, partial):
        fn = fn.func
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(type(fn), "__call__", None))
