"""Retries within a run, as decisions: tenacity's stop, wait and retry objects are asked, nothing sleeps here.

tenacity itself is not needed: its objects are plain callables that read a few attributes of a retry state.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from toolslot._errors import InvalidSetting


@dataclass(slots=True)
class RetryState:
    """What tenacity's strategies read. Times are seconds; `attempt_number` is that of the attempt that just failed, from 1."""

    attempt_number: int
    outcome: Future[object]
    seconds_since_start: float
    idle_for: float = 0.0
    upcoming_sleep: float = 0.0
    outcome_timestamp: float = 0.0
    start_time: float = 0.0
    next_action: object = None
    retry_object: object = None
    fn: object = None
    args: tuple[object, ...] = ()
    kwargs: dict[str, object] = field(default_factory=lambda: {})


# They are given a `RetryState`. The parameter is Any because tenacity's own are annotated with its class, not with what they read of it.
Stop: TypeAlias = "Callable[[Any], bool]"
Wait: TypeAlias = "Callable[[Any], float]"
ShouldRetry: TypeAlias = "Callable[[Any], bool]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When to try again within a run. `stop` is required, so that no retry goes on for ever by accident.

    Attributes:
        stop: True when the attempt that just failed was the last; `tenacity.stop_after_attempt(3)`, or an int: that many attempts.
        wait: Seconds before the next attempt; `tenacity.wait_exponential(...)`, or a number. Default 0.
        retry: Whether this failure is worth another attempt; `tenacity.retry_if_exception_type(...)`. Default: every `Exception`.
    """

    stop: Stop | int
    wait: Wait | float = 0.0
    retry: ShouldRetry | None = None

    def __post_init__(self) -> None:
        if isinstance(self.stop, int) and (isinstance(self.stop, bool) or self.stop < 1):
            raise InvalidSetting(f"Retry(stop={self.stop!r}): the number of attempts must be at least 1.")
        if isinstance(self.wait, (int, float)) and not self.wait >= 0:
            raise InvalidSetting(f"Retry(wait={self.wait!r}): seconds must not be negative.")

    def delay(self, state: RetryState) -> float | None:
        """Seconds until the next attempt, or None to give up."""
        if self.retry is not None and not self.retry(state):
            return None
        wait = float(self.wait) if isinstance(self.wait, (int, float)) else float(self.wait(state))
        state.upcoming_sleep = wait  # tenacity's stop_before_delay reads it
        last = state.attempt_number >= self.stop if isinstance(self.stop, int) else self.stop(state)
        return None if last else wait


@runtime_checkable
class _TenacityLike(Protocol):
    stop: Stop
    wait: Wait
    retry: ShouldRetry


def as_retry(value: object) -> Retry | None:
    """A `Retry`, an int of attempts, or any object with tenacity's `stop`, `wait` and `retry` (a `Retrying`), as a `Retry`.

    Raises:
        InvalidSetting: it is none of these.
    """
    if value is None or isinstance(value, Retry):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Retry(stop=value)
    if isinstance(value, _TenacityLike):
        return Retry(stop=value.stop, wait=value.wait, retry=value.retry)
    raise InvalidSetting(
        f"retry={type(value).__name__} is not understood: give Retry(stop=3, wait=1.0), a tenacity Retrying, or a number of attempts."
    )


def delay_after(
    error: Exception, retry: Retry | None, *, tries: int, began: float, now: float
) -> float | None:
    """Seconds until the attempt after the `tries`th since `began`, which failed with `error`; None to give up.

    Only what `retry` says: whether this failure may be tried again at all, it does not know. Times are monotonic seconds.
    """
    if retry is None:
        return None
    state = RetryState(
        attempt_number=tries,
        outcome=failed_outcome(error),
        seconds_since_start=now - began,
        outcome_timestamp=now,
        start_time=began,
    )
    return retry.delay(state)


def failed_outcome(error: BaseException) -> Future[object]:
    """The finished future that tenacity's strategies expect, with its `failed` property."""
    outcome: Future[object] = _Outcome()
    outcome.set_exception(error)
    return outcome


class _Outcome(Future[object]):
    attempt_number: int = 0

    @property
    def failed(self) -> bool:
        return cast("Future[object]", self).exception() is not None
