"""Driving many calls at once with few threads: a thread is used only by code that runs, none waits for the journal or for a permit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic
from typing import Any

from toolslot._batch._steps import Acquire, Step, Steps, Waiting, perform

#: seconds after which calls that are ready and find no free thread get more of them
_TICK = 0.0005


class _Work:
    """One call on its way, with the context that its code sees, whatever thread drives it."""

    __slots__ = ("answer", "context", "error", "index", "steps")

    def __init__(self, index: int, steps: Steps[Any], context: Context) -> None:
        self.index = index
        self.steps = steps
        self.context = context.copy()
        #: what the step that it asked for came to
        self.answer: object = None
        self.error: BaseException | None = None


class Crew:
    """Drives steps to their ends in at most `workers` threads.

    The first thread takes the calls one after the other as they become ready. Only when ready calls have found none free for a moment are
    there more, twice as many each time: code that returns at once needs no second thread.
    """

    def __init__(self, calls: Sequence[Steps[Any]], workers: int) -> None:
        self._workers = workers
        self._outcomes: list[Any] = [None] * len(calls)
        self._left = len(calls)
        self._lock = Lock()
        self._ready: SimpleQueue[_Work | None] = SimpleQueue()
        self._idle = self._threads = self._taken = 0
        #: the thread that has called `outcomes` sleeps until it is woken: there were threads enough when it looked
        self._asleep = False
        #: those that wait for permits, and may have to give up
        self._waiting: dict[_Work, Waiting] = {}
        #: when the first of them has waited long enough, in monotonic seconds
        self._due: float | None = None
        #: wakes the thread that has called `outcomes`
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._context = copy_context()
        self._behind = iter(enumerate(calls))
        # No more at a time than can run: a batch of thousands must not stand in the way of small ones while it queues for permits.
        for _ in range(workers):
            self._begin_next()

    def outcomes(self) -> list[Any]:
        """Each call's answer or exception, in the order given, once all have ended; an interrupt is raised after that."""
        with ThreadPoolExecutor(self._workers, thread_name_prefix="toolslot") as threads:
            try:
                try:
                    self._watch(threads)
                except BaseException:
                    self._watch(threads)
                    raise
            finally:
                for _ in range(self._threads):
                    self._ready.put(None)
        return self._outcomes

    # --- in the thread that waits for all of them -----------------------------------------------------------------------

    def _watch(self, threads: ThreadPoolExecutor) -> None:
        more = taken = 0
        while self._left:
            with self._lock:
                short = self._short()
                self._asleep = not short
            if short:
                queued = self._ready.qsize()
                # Where no thread has come back for a second call in a whole tick, each call needs one of its own.
                more = queued if more and self._taken - taken <= more else more * 2 or 1
                more, taken = min(more, self._workers - self._threads), self._taken
                for _ in range(more):
                    threads.submit(self._drive)
                self._threads += more
            self._due = None if (left := self._patience()) is None else monotonic() + left
            try:
                self._bell.get(timeout=_TICK if short else left)
            except Empty:
                self._check()

    def _short(self) -> bool:
        """Whether more calls are ready than threads are free; a thread on its way to a call is free until it has it."""
        return self._threads < self._workers and self._ready.qsize() > self._idle

    def _wake_if_short(self) -> None:
        """After each change that can leave a ready call without a thread; the lock is held."""
        if self._asleep and self._short():
            self._asleep = False
            self._bell.put(None)

    def _patience(self) -> float | None:
        with self._lock:
            waiting = list(self._waiting.values())
        return min((left for each in waiting if (left := each.patience()) is not None), default=None)

    def _check(self) -> None:
        """Look after those that wait for permits: one may be due by now, or its time be over."""
        if self._due is None or monotonic() < self._due:
            return
        with self._lock:
            waiting = list(self._waiting.items())
        for work, wait in waiting:
            try:
                wait.check()
            except BaseException as error:
                if self._stop_waiting(work):
                    wait.cancel()
                    work.error = error
                    self._resume(work)

    # --- in the threads -------------------------------------------------------------------------------------------------

    def _drive(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            work = self._ready.get()
            with self._lock:
                self._idle -= 1
                self._taken += 1
                self._wake_if_short()
            if work is None:
                return
            self._advance(work)

    def _advance(self, work: _Work) -> None:
        """Drive one call until it has to wait, or has ended."""
        try:
            while True:
                answer, error, work.answer, work.error = work.answer, work.error, None, None
                if error is not None:
                    step: Step = work.context.run(work.steps.throw, error)
                else:
                    step = work.context.run(work.steps.send, answer)
                try:
                    if self._has_to_wait(work, step):
                        return
                except BaseException as raised:
                    work.error = raised
        except StopIteration as stop:
            self._end(work, stop.value)
        except BaseException as raised:
            self._end(work, raised)

    def _has_to_wait(self, work: _Work, step: Step) -> bool:
        """Do the step in this thread; or have the call come back when it is done."""
        if isinstance(step, Future):
            if step.done():
                work.answer = step.result()
                return False
            step.add_done_callback(partial(self._answered, work))
            return True
        if isinstance(step, Acquire):
            waiting = work.context.run(Waiting, step)
            if waiting.permit is not None:
                work.answer = waiting.permit
                return False
            left = waiting.patience()
            with self._lock:
                self._waiting[work] = waiting
                sooner = left is not None and (self._due is None or monotonic() + left < self._due)
            if sooner:
                self._bell.put(None)
            waiting.granted().add_done_callback(partial(self._granted, work, waiting))
            return True
        work.answer = work.context.run(perform, step)
        return False

    def _begin_next(self) -> None:
        """The next call may begin, if there is one; the lock is held, or no thread runs yet."""
        for index, steps in self._behind:
            self._ready.put(_Work(index, steps, self._context))
            return

    def _end(self, work: _Work, outcome: object) -> None:
        self._outcomes[work.index] = outcome
        with self._lock:
            self._left -= 1
            last = not self._left
            self._begin_next()
            self._wake_if_short()
        if last:
            self._bell.put(None)

    # --- in whatever thread a wait ends ---------------------------------------------------------------------------------

    def _answered(self, work: _Work, future: Future[Any]) -> None:
        error = future.exception()
        if error is None:
            work.answer = future.result()
        else:
            work.error = error
        self._resume(work)

    def _granted(self, work: _Work, waiting: Waiting, _: Future[Any]) -> None:
        if waiting.permit is None:
            waiting.granted().add_done_callback(partial(self._granted, work, waiting))
            self._bell.put(None)  # it may have to wait less long now
        elif self._stop_waiting(work):
            work.answer = waiting.permit
            self._resume(work)

    def _stop_waiting(self, work: _Work) -> bool:
        """Whether it was waiting until now."""
        with self._lock:
            return self._waiting.pop(work, None) is not None

    def _resume(self, work: _Work) -> None:
        self._ready.put(work)
        with self._lock:
            self._wake_if_short()


def drive_all(steps: Sequence[Steps[Any]], workers: int) -> list[Any]:
    """Drive each of these to its end, in at most `workers` threads, each in a copy of the current context.

    Returns the answer of each or its exception, in the order given, once all have ended; an interrupt is raised after that. A thread is
    used only by code that runs: none waits for the journal or for a permit.
    """
    return Crew(steps, workers).outcomes()


def settle(outcomes: Sequence[Any], *, return_exceptions: bool = False) -> list[Any]:
    """The answers; unless exceptions are to be returned, the first of them in call order is raised."""
    if not return_exceptions:
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
    return list(outcomes)
