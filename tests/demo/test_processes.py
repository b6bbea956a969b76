from __future__ import annotations

from pathlib import Path

import pytest

from toolslot._demo._processes import Agents, Deadline, DemoFailed, agent_environment

# A module of the standard library that runs until it is killed.
ENDLESS = ("http.server", ["0", "--bind", "127.0.0.1"])


def test_an_agent_that_ends_early_is_reported_with_what_it_said(tmp_path: Path) -> None:
    with Agents() as agents:
        agent = agents.start("toolslot_of_nowhere", [], tmp_path / "log")
        with pytest.raises(DemoFailed, match="No module named toolslot_of_nowhere"):
            agent.wait(Deadline(30))


def test_an_agent_that_ended_is_not_taken_for_alive(tmp_path: Path) -> None:
    with Agents() as agents:
        agent = agents.start("this", [], tmp_path / "log")
        agent.wait(Deadline(30))
        with pytest.raises(DemoFailed, match="with code 0"):
            agent.check_alive()


def test_a_killed_agent_is_gone_when_kill_returns(tmp_path: Path) -> None:
    with Agents() as agents:
        agent = agents.start(*ENDLESS, tmp_path / "log")
        agent.check_alive()
        agent.kill()
        with pytest.raises(DemoFailed):
            agent.check_alive()


def test_no_agent_outlives_the_block(tmp_path: Path) -> None:
    with Agents() as agents:
        agent = agents.start(*ENDLESS, tmp_path / "log")
    with pytest.raises(DemoFailed, match="ended early"):
        agent.check_alive()


def test_no_agent_starts_after_the_block(tmp_path: Path) -> None:
    with Agents() as agents:
        pass
    with pytest.raises(DemoFailed, match="stopped"):
        agents.start(*ENDLESS, tmp_path / "log")


def test_an_agent_that_does_not_end_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with Agents() as agents:
        agent = agents.start(*ENDLESS, tmp_path / "log")
        with pytest.raises(DemoFailed, match="toolslot demo --seconds"):
            agent.wait(Deadline(0.01))


def test_a_deadline_runs_out_and_stays_at_zero() -> None:
    now = 5.0
    deadline = Deadline(3.0, clock=lambda: now)
    assert (deadline.spent, deadline.left) == (0.0, 3.0)
    now = 9.0
    assert (deadline.spent, deadline.left) == (4.0, 0.0)


def test_an_agent_gets_none_of_the_settings_that_would_change_or_publish_the_story() -> None:
    given = {
        "PATH": "/bin",
        "TOOLSLOT_DISABLE": "1",
        "LANGSMITH_TRACING": "true",
        "LANGCHAIN_TRACING_V2": "true",
    }
    assert agent_environment(given) == {"PATH": "/bin", "PYTHONSAFEPATH": "1"}
