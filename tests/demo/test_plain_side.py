"""What the demo says about the frameworks alone is measured, not told: real processes, real SIGKILL."""

from __future__ import annotations

import pytest

from toolslot._demo._judge import Action, judge
from toolslot._demo._side import SideRun
from toolslot._demo._story import CALLS, Stage

pytestmark = pytest.mark.crash


def test_the_kill_finds_every_call_where_the_story_says(plain: SideRun) -> None:
    assert plain.report.off_story == ()


def test_the_resumed_agent_is_another_process(plain: SideRun) -> None:
    assert plain.killed_pid != plain.resumed_pid


def test_the_plain_node_runs_again_whatever_had_begun(plain: SideRun) -> None:
    for row in plain.report.rows:
        assert row.action is (Action.RUN if row.at_kill is Stage.NOT_BEGUN else Action.RUN_AGAIN)


def test_the_plain_node_pays_twice_what_was_paid_before_the_kill(plain: SideRun) -> None:
    booked = {row.call.ref: row.booked for row in plain.report.rows if row.call.pays}
    assert booked == {"INV-101": 2, "INV-102": 2, "INV-103": 2, "INV-104": 1, "INV-105": 1}


def test_the_plain_node_still_answers_every_call(plain: SideRun) -> None:
    assert plain.report.order == tuple(call.call_id for call in CALLS)


def test_the_model_is_not_asked_again_for_its_calls(plain: SideRun) -> None:
    assert plain.report.model_asked == 1


def test_judged_by_the_promise_the_plain_side_breaks_it(plain: SideRun) -> None:
    problems = judge(plain.report)
    assert any("pay rent: it was recorded before the kill and ran again" in problem for problem in problems)
    assert any("pay insurance: the bank booked it 2 times" in problem for problem in problems)


def test_a_plain_function_agent_is_found_where_the_story_says(plain_llamaindex: SideRun) -> None:
    assert plain_llamaindex.report.off_story == ()


def test_a_plain_function_agent_runs_again_whatever_had_begun(plain_llamaindex: SideRun) -> None:
    for row in plain_llamaindex.report.rows:
        assert row.action is (Action.RUN if row.at_kill is Stage.NOT_BEGUN else Action.RUN_AGAIN)


def test_a_plain_function_agent_pays_twice_what_was_paid_before_the_kill(plain_llamaindex: SideRun) -> None:
    booked = {row.call.ref: row.booked for row in plain_llamaindex.report.rows if row.call.pays}
    assert booked == {"INV-101": 2, "INV-102": 2, "INV-103": 2, "INV-104": 1, "INV-105": 1}


def test_a_plain_function_agent_answers_every_call_and_asks_its_model_again(
    plain_llamaindex: SideRun,
) -> None:
    assert sorted(plain_llamaindex.report.order) == sorted(call.call_id for call in CALLS)
    assert plain_llamaindex.report.model_asked == 2
