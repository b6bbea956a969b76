"""The planner: one next step for every state, policy and standing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from toolslot import Reason, SlotRecord, SlotState, ToolPolicy
from toolslot._codec import Payload, encode_error
from toolslot._domain._plan import (
    Ask,
    Claim,
    Closed,
    Fail,
    FailedHere,
    Look,
    Lose,
    Mismatch,
    Reconcile,
    Repeat,
    Replay,
    Rerun,
    Run,
    Standing,
    Wait,
    answered,
    plan,
    settle_unknown,
)
from toolslot._domain._policy import Answer, CannotTell
from toolslot._domain._slot import Delivered, SlotSpec
from toolslot._domain._view import Slot

SPEC = SlotSpec(index=0, tool="pay", call_id="c1", digest="d", args=Payload(codec="j", data=b"{}"))
RESERVED = SlotRecord(spec=SPEC)
RUNNING = replace(RESERVED, state=SlotState.RUNNING, attempt=1)
UNKNOWN = replace(RUNNING, state=SlotState.UNKNOWN, reason=Reason.OWNER_DIED)
WAITING = replace(RUNNING, state=SlotState.WAITING)
SUCCEEDED = replace(RUNNING, state=SlotState.SUCCEEDED)
SEEN = replace(RUNNING, state=SlotState.FAILED)
ESCAPED = replace(RUNNING, state=SlotState.FAILED, escaped=True, error=encode_error(TimeoutError("read")))
TOLD = Delivered(index=0, generation=1, attempt=1, epoch=1, at=0.0, outcome=Payload(codec="j", data=b"1"))
MINE = Standing.MINE


def reconcile(slot: Slot) -> Answer:
    return CannotTell()


def test_a_reserved_call_is_simply_run() -> None:
    assert plan(RESERVED, SPEC, ToolPolicy(on_unknown="ask"), MINE) == Run(1)


def test_an_answered_question_is_a_new_attempt() -> None:
    assert plan(WAITING, SPEC, ToolPolicy(on_unknown="ask"), MINE) == Run(2)


@pytest.mark.parametrize("standing", list(Standing))
@pytest.mark.parametrize("slot", [SUCCEEDED, SEEN])
def test_a_result_replays_whoever_owns_the_batch_and_whether_it_is_closed(
    slot: SlotRecord, standing: Standing
) -> None:
    assert plan(slot, SPEC, ToolPolicy(), standing) == Replay()
    assert plan(slot, SPEC, ToolPolicy(), standing, closed=True) == Replay()


@pytest.mark.parametrize("standing", list(Standing))
@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("slot", [SUCCEEDED, SEEN])
def test_an_answer_of_another_process_is_not_replayed_where_the_policy_says_so(
    slot: SlotRecord, closed: bool, standing: Standing
) -> None:
    rerun = ToolPolicy(on_resume="rerun")
    assert plan(slot, SPEC, rerun, standing, closed=closed, ran_here=False) == Repeat()
    assert plan(slot, SPEC, rerun, standing, closed=closed, ran_here=True) == Replay()
    assert plan(slot, SPEC, ToolPolicy(), standing, closed=closed, ran_here=False) == Replay()


def test_a_call_of_such_a_tool_that_is_not_settled_is_planned_like_any_that_may_run_again() -> None:
    rerun = ToolPolicy(on_resume="rerun")
    assert plan(UNKNOWN, SPEC, rerun, MINE, ran_here=False) == Rerun(2, undeclared=False)
    assert plan(ESCAPED, SPEC, rerun, MINE, ran_here=False) == Rerun(2, undeclared=False)
    assert plan(RESERVED, SPEC, rerun, MINE, closed=True, ran_here=False) == Closed()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ToolPolicy(), Rerun(2, undeclared=True)),
        (ToolPolicy(on_unknown="rerun"), Rerun(2, undeclared=False)),
        (ToolPolicy(idempotent=True), Rerun(2, undeclared=False)),
        (ToolPolicy(on_unknown="fail"), Fail()),
        (ToolPolicy(on_unknown="ask"), Ask()),
        (ToolPolicy(reconcile=reconcile), Reconcile()),
        (ToolPolicy(reconcile=reconcile, on_unknown="rerun"), Reconcile()),
    ],
)
def test_an_unknown_call_follows_its_tools_policy(policy: ToolPolicy, expected: object) -> None:
    assert plan(UNKNOWN, SPEC, policy, MINE) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ToolPolicy(), Rerun(2, undeclared=False)),
        (ToolPolicy(on_failed="replay"), Replay()),
        (ToolPolicy(on_unknown="ask"), Ask(doubt=True)),
        (ToolPolicy(on_unknown="fail"), Fail(doubt=True)),
        (ToolPolicy(reconcile=reconcile), Reconcile(doubt=True)),
        (ToolPolicy(on_unknown="ask", not_done=TimeoutError), Rerun(2, undeclared=False)),
        (ToolPolicy(on_unknown="ask", not_done=KeyError), Ask(doubt=True)),
    ],
)
def test_a_failure_that_crashed_the_run_follows_on_failed(policy: ToolPolicy, expected: object) -> None:
    assert plan(ESCAPED, SPEC, policy, MINE) == expected


@pytest.mark.parametrize("slot", [RESERVED, RUNNING, UNKNOWN, WAITING, ESCAPED])
def test_what_is_not_settled_waits_for_a_living_owner_and_is_claimed_from_a_dead_one(
    slot: SlotRecord,
) -> None:
    policy = ToolPolicy(on_unknown="ask")
    assert plan(slot, SPEC, policy, Standing.TAKEN) == Wait()
    assert plan(slot, SPEC, policy, Standing.FREE) == Claim()


@pytest.mark.parametrize("slot", [RESERVED, RUNNING, UNKNOWN, WAITING, ESCAPED])
def test_nothing_of_a_closed_batch_runs(slot: SlotRecord) -> None:
    assert plan(slot, SPEC, ToolPolicy(), MINE, closed=True) == Closed()


def test_a_closed_batch_repeats_what_the_agent_was_told() -> None:
    assert plan(replace(UNKNOWN, delivered=TOLD), SPEC, ToolPolicy(), MINE, closed=True) == Replay(
        delivered=True
    )


@pytest.mark.parametrize("standing", Standing)
def test_what_the_agent_was_told_of_a_call_that_fails_is_told_to_whoever_comes_next(
    standing: Standing,
) -> None:
    told = replace(UNKNOWN, delivered=TOLD)
    assert plan(told, SPEC, ToolPolicy(on_unknown="fail"), standing) == Replay(delivered=True)


@pytest.mark.parametrize(
    ("policy", "action"),
    [
        (ToolPolicy(), Rerun),
        (ToolPolicy(on_unknown="ask"), Ask),
        (ToolPolicy(on_unknown="fail", reconcile=reconcile), Reconcile),
    ],
    ids=["rerun", "ask", "reconcile"],
)
def test_what_was_told_does_not_keep_the_policy_from_settling_the_call(
    policy: ToolPolicy, action: type
) -> None:
    assert isinstance(plan(replace(UNKNOWN, delivered=TOLD), SPEC, policy, MINE), action)


@pytest.mark.parametrize(
    ("presented", "differs"),
    [
        (replace(SPEC, tool="read"), ("tool",)),
        (replace(SPEC, digest="e"), ("arguments",)),
        (replace(SPEC, call_id="c2"), ("call id",)),
        (replace(SPEC, tool="x", digest=None, call_id=""), ("tool", "arguments", "call id")),
    ],
)
@pytest.mark.parametrize("slot", [RESERVED, SUCCEEDED, UNKNOWN])
def test_case_11_another_call_at_this_place_is_never_passed_over(
    slot: SlotRecord, presented: SlotSpec, differs: tuple[str, ...]
) -> None:
    assert plan(slot, presented, ToolPolicy(), MINE) == Mismatch(differs)


def test_when_no_reconciler_can_tell_the_rule_for_unknown_calls_applies() -> None:
    assert settle_unknown(UNKNOWN, ToolPolicy(reconcile=reconcile)) == Ask()
    assert settle_unknown(UNKNOWN, ToolPolicy(reconcile=reconcile, on_unknown="rerun")) == Rerun(
        2, undeclared=False
    )


@pytest.mark.parametrize("standing", list(Standing))
def test_a_call_of_unknown_outcome_is_looked_up_once_more_before_anything_is_done_about_it(
    standing: Standing,
) -> None:
    assert plan(UNKNOWN, SPEC, ToolPolicy(), standing, looked=False) == Look()
    assert plan(RESERVED, SPEC, ToolPolicy(), standing, looked=False) != Look()


@pytest.mark.parametrize(
    "policy",
    [
        ToolPolicy(),
        ToolPolicy(on_unknown="ask"),
        ToolPolicy(on_unknown="fail"),
        ToolPolicy(reconcile=reconcile),
    ],
)
def test_a_call_that_began_here_and_runs_no_more_is_marked_before_its_policy_is_applied(
    policy: ToolPolicy,
) -> None:
    assert plan(RUNNING, SPEC, policy, MINE) == Lose()
    assert plan(UNKNOWN, SPEC, policy, MINE) != Lose()


def test_a_failure_that_may_run_again_does_so_only_while_nothing_else_was_written() -> None:
    policy, failed = ToolPolicy(on_failed="replay"), FailedHere(3, ESCAPED.version)
    assert plan(ESCAPED, SPEC, policy, MINE, epoch=3, failed=failed) == Rerun(2, undeclared=False)
    assert plan(ESCAPED, SPEC, policy, MINE, epoch=4, failed=failed) == Replay()
    assert plan(ESCAPED, SPEC, policy, MINE, epoch=3, failed=FailedHere(3, ESCAPED.version - 1)) == Replay()


def test_a_failure_of_a_repetition_is_repeated_and_not_run_as_a_new_attempt() -> None:
    policy, failed = ToolPolicy(on_resume="rerun"), FailedHere(3, SUCCEEDED.version)
    assert plan(SUCCEEDED, SPEC, policy, MINE, ran_here=False, epoch=3, failed=failed) == Repeat()


def test_what_the_agent_was_told_is_handed_out_at_once_unless_an_attempt_runs_that_may_say_more() -> None:
    policy, told = ToolPolicy(on_unknown="fail"), replace(UNKNOWN, delivered=TOLD)
    assert answered(told, SPEC, policy, closed=False, ran_here=True, at_work=False)
    assert not answered(told, SPEC, policy, closed=False, ran_here=True, at_work=True)
    assert answered(SUCCEEDED, SPEC, policy, closed=False, ran_here=True, at_work=True)
    assert not answered(RESERVED, SPEC, policy, closed=True, ran_here=True, at_work=False)
