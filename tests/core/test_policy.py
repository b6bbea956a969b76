"""What a policy means, and that nonsense is refused where it is given."""

from __future__ import annotations

import pytest

from toolslot import InvalidArguments, InvalidSetting, Limits, Rate, StillRunning, ToolPolicy
from toolslot._codec import encode_error
from toolslot._domain._plan import retries_failure
from toolslot._domain._policy import Answer, CannotTell
from toolslot._domain._view import Slot


def reconcile(slot: Slot) -> Answer:
    return CannotTell()


def test_an_undeclared_tool_is_rerun() -> None:
    assert ToolPolicy().unknown_rule == "rerun"


def test_a_reconciler_makes_asking_the_default() -> None:
    assert ToolPolicy(reconcile=reconcile).unknown_rule == "ask"
    assert ToolPolicy(reconcile=reconcile, on_unknown="fail").unknown_rule == "fail"


@pytest.mark.parametrize("value", [0, -1, 0.0, -0.5, float("nan"), float("inf"), True, "5"])
def test_case_03_a_timeout_of_zero_or_less_is_refused(value: object) -> None:
    with pytest.raises(InvalidSetting, match="timeout"):
        ToolPolicy(timeout=value)  # type: ignore[arg-type]


def test_case_03_no_timeout_is_none() -> None:
    assert ToolPolicy(timeout=None).timeout is None


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_case_03_a_limit_of_zero_or_less_is_refused(value: object) -> None:
    with pytest.raises(InvalidSetting, match="max_parallel"):
        ToolPolicy(max_parallel=value)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="batch"):
        Limits(batch=value)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="process"):
        Limits(process=value)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="pay"):
        Limits(tools={"pay": value})  # type: ignore[dict-item]


@pytest.mark.parametrize("choice", ["ignore", "", "RERUN"])
def test_an_unknown_choice_names_the_known_ones(choice: str) -> None:
    with pytest.raises(InvalidSetting, match="'rerun', 'fail', 'ask'"):
        ToolPolicy(on_unknown=choice)  # type: ignore[arg-type]


def test_idempotent_tools_are_never_asked_about() -> None:
    with pytest.raises(InvalidSetting, match="idempotent"):
        ToolPolicy(idempotent=True, reconcile=reconcile)


def test_a_failure_may_run_again_where_the_tool_may_be_rerun() -> None:
    assert retries_failure(ToolPolicy(), TimeoutError)
    assert not retries_failure(ToolPolicy(on_unknown="ask"), TimeoutError)
    assert not retries_failure(ToolPolicy(on_failed="replay"), TimeoutError)
    assert retries_failure(ToolPolicy(idempotent=True), TimeoutError)


def test_a_failure_that_certainly_did_nothing_may_run_again_under_every_policy() -> None:
    policy = ToolPolicy(on_unknown="ask", not_done=ConnectionRefusedError)
    assert retries_failure(policy, ConnectionRefusedError)
    assert retries_failure(policy, encode_error(ConnectionRefusedError()))
    assert not retries_failure(policy, encode_error(TimeoutError()))
    assert not retries_failure(policy, None)
    assert retries_failure(ToolPolicy(on_unknown="fail"), InvalidArguments)


def test_subclasses_of_a_not_done_type_count() -> None:
    policy = ToolPolicy(on_unknown="ask", not_done=(ConnectionError,))
    assert retries_failure(policy, ConnectionRefusedError)
    assert retries_failure(policy, encode_error(ConnectionRefusedError())), "also of a recorded failure"


@pytest.mark.parametrize(
    ("text", "rate"), [("5/s", Rate(5, 1.0)), ("100/min", Rate(100, 60.0)), (" 7 / h ", Rate(7, 3600.0))]
)
def test_rates_are_read_from_text(text: str, rate: Rate) -> None:
    assert ToolPolicy(rate=text).rate == rate


@pytest.mark.parametrize("text", ["5", "5/day", "x/s", "0/s", "-1/s"])
def test_a_rate_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting):
        ToolPolicy(rate=text)


def test_still_running_needs_a_positive_pause() -> None:
    with pytest.raises(InvalidSetting):
        StillRunning(retry_after=0)
