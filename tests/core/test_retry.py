"""tenacity's own objects decide about retries; nothing sleeps."""

from __future__ import annotations

import pytest
import tenacity

from toolslot import InvalidSetting, Retry
from toolslot._domain._retry import RetryState, as_retry, failed_outcome


def state(attempt: int, error: BaseException | None = None, seconds: float = 0.0) -> RetryState:
    return RetryState(
        attempt_number=attempt, outcome=failed_outcome(error or ValueError("x")), seconds_since_start=seconds
    )


def test_tenacity_stop_and_wait_objects_are_understood() -> None:
    retry = Retry(
        stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_exponential(multiplier=1, min=1, max=10)
    )
    assert [retry.delay(state(n)) for n in (1, 2, 3)] == [1, 2, None]


def test_tenacity_conditions_are_understood() -> None:
    retry = Retry(stop=5, retry=tenacity.retry_if_exception_type(ConnectionError))
    assert retry.delay(state(1, ConnectionResetError())) == 0
    assert retry.delay(state(1, ValueError())) is None


def test_combined_tenacity_objects_are_understood() -> None:
    retry = Retry(
        stop=tenacity.stop_after_attempt(10) | tenacity.stop_after_delay(5),
        wait=tenacity.wait_fixed(1) + tenacity.wait_random(0, 0.5),
        retry=tenacity.retry_if_not_exception_type(KeyError),
    )
    delay = retry.delay(state(1))
    assert delay is not None
    assert 1 <= delay <= 1.5
    assert retry.delay(state(1, seconds=6)) is None
    assert retry.delay(state(1, KeyError())) is None


def test_stop_before_delay_knows_the_coming_wait() -> None:
    retry = Retry(stop=tenacity.stop_before_delay(10), wait=tenacity.wait_fixed(4))
    assert retry.delay(state(1, seconds=5)) == 4
    assert retry.delay(state(1, seconds=7)) is None


@pytest.mark.parametrize("kind", [tenacity.Retrying, tenacity.AsyncRetrying])
def test_a_whole_retrying_is_understood(kind: type[tenacity.BaseRetrying]) -> None:
    retry = as_retry(kind(stop=tenacity.stop_after_attempt(2), wait=tenacity.wait_fixed(3)))
    assert retry is not None
    assert [retry.delay(state(n)) for n in (1, 2)] == [3, None]


def test_a_number_is_so_many_attempts() -> None:
    retry = as_retry(2)
    assert retry is not None
    assert [retry.delay(state(n)) for n in (1, 2)] == [0, None]


@pytest.mark.parametrize("value", ["3", 0, -1, True, object()])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(InvalidSetting):
        as_retry(value)
