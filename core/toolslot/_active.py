"""One entrant at work on one slot, and how the others wait for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future


class Active:
    """One entrant at work on a slot. Others wait for `done()`; its value is the error they share, or None to look at the slot again."""

    __slots__ = ("_done", "_error", "_lock", "_over", "detached", "index")

    def __init__(self, index: int, lock: threading.Lock) -> None:
        self.index = index
        #: the attempt's code runs on in a thread of its own after its entrant has gone
        self.detached = False
        self._lock = lock
        self._over = False
        self._error: BaseException | None = None
        # Made when somebody waits: hardly anybody does.
        self._done: Future[BaseException | None] | None = None

    def done(self) -> Future[BaseException | None]:
        """Completes when the attempt is over."""
        with self._lock:
            if self._done is None:
                self._done = Future()
                if self._over:
                    self._done.set_result(self._error)
            return self._done

    def end(self, error: BaseException | None) -> None:
        with self._lock:
            self._over, self._error = True, error
            done = self._done
        if done is not None:
            done.set_result(error)
