"""A clock that moves only when it is told to."""

from __future__ import annotations

import threading

from typing_extensions import override


class FakeClock:
    """Call it for the time in seconds. `step` is what every call adds, so that times taken one after another differ.

    Stands in for `time.time` and for `time.monotonic` alike. Threads may share it.
    """

    def __init__(self, start: float = 1_700_000_000.0, *, step: float = 0.0) -> None:
        self._now = start
        self._step = step
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            now = self._now
            self._now += self._step
            return now

    def advance(self, seconds: float) -> float:
        """Let `seconds` pass, and return the time then. Negative: the wall clock was set back."""
        with self._lock:
            self._now += seconds
            return self._now

    @override
    def __repr__(self) -> str:
        return f"<FakeClock {self._now!r}>"
