"""One caller at work on one slot, and how the others wait for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future


class Active:
    """One caller at work on a slot. Others wait for `done()`; its value is the error they share, or None to look at the slot again."""

    __slots__ = ("_done", "_error", "_lock", "_settled", "detached", "epoch", "gone", "index", "over")

    def __init__(self, index: int, lock: threading.Lock) -> None:
        self.index: int = index
        #: under which its code was entered; None before
        self.epoch: int | None = None
        #: whether its code runs on in a thread of its own; and its caller, which records that first, has gone
        self.detached: bool = False
        self.gone: bool = False
        self._lock = lock
        #: whether it has ended, or was dropped
        self.over: bool = False
        self._error: BaseException | None = None
        # Made when somebody waits: hardly anybody does.
        self._done: Future[BaseException | None] | None = None
        self._settled: Future[None] | None = None

    def after_fork(self, lock: threading.Lock) -> None:
        """In a forked child, where the old lock is not given back."""
        self._lock = lock

    def leave_behind(self) -> None:
        """The caller has gone, the code runs on."""
        with self._lock:
            settled = None if self.over or self.gone else self._settled
            self.gone = True
        if settled is not None:
            settled.set_result(None)

    def settled(self) -> Future[None]:
        """Completes when the attempt is over, or runs on without its caller."""
        with self._lock:
            if self._settled is None:
                self._settled = Future()
                if self.over or self.gone:
                    self._settled.set_result(None)
            return self._settled

    def done(self) -> Future[BaseException | None]:
        """Completes when the attempt is over."""
        with self._lock:
            if self._done is None:
                self._done = Future()
                if self.over:
                    self._done.set_result(self._error)
            return self._done

    def end(self, error: BaseException | None) -> None:
        """It is over, or what comes of it counts no more; the first time counts."""
        with self._lock:
            if self.over:
                return
            settled = None if self.gone else self._settled
            self.over, self._error = True, error
            done = self._done
        if done is not None:
            done.set_result(error)
        if settled is not None:
            settled.set_result(None)
