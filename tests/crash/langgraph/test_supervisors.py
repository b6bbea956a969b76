"""Killed in a tool that runs an agent: it is entered again unasked only where that agent was seen to run nested, and so goes on."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from support.forked import TESTS, Child, run
from support.ledger import Ledger

pytestmark = [pytest.mark.crash, pytest.mark.pairwise]

SUPERVISOR = TESTS / "crash" / "langgraph" / "supervisor.py"

#: one task for all calls, one for each, and the middleware
doors = pytest.mark.parametrize("door", ["react1+make_durable", "agent+make_durable", "agent+middleware"])
modes = pytest.mark.parametrize("mode", ["sync", "async"])


def killed(folder: Path, *args: str) -> Ledger:
    with Child(SUPERVISOR, str(folder), *args) as first:
        first.await_line("READY")
        first.kill()
        assert first.returncode == -signal.SIGKILL
    return Ledger(folder / "ledger")


def resumed(folder: Path, *args: str) -> Any:
    return run(SUPERVISOR, [str(folder), "--life", "2", *args])


def questions(outcome: Any) -> list[dict[str, Any]]:
    return [question for value in outcome["interrupts"].values() for question in value["questions"]]


def payments(ledger: Ledger) -> list[str]:
    return sorted(line.removeprefix("paid ") for line in ledger.lines() if line.startswith("paid "))


@doors
@modes
@pytest.mark.parametrize(
    ("kind", "dies"),
    [
        ("own thread", "pay"),
        ("own thread", "after"),
        ("own thread, same saver", "pay"),
        ("own thread, same saver", "after"),
        ("own saver", "pay"),
        ("own saver", "after"),
        ("llm", "pay"),
        ("client", "pay"),
        ("nested, then own thread", "pay"),
        ("nested, then own saver", "pay"),
    ],
)
def test_what_was_not_seen_to_run_nested_is_asked_about(
    tmp_path: Path, door: str, mode: str, kind: str, dies: str
) -> None:
    args = ("--door", door, "--mode", mode, "--kind", kind, "--dies", dies)
    ledger = killed(tmp_path, *args)
    paid = payments(ledger)
    assert paid
    assert len(paid) == len(set(paid))
    asked = questions(resumed(tmp_path, *args))
    assert {question["tool"] for question in asked} == {"ask"}
    assert len(asked) == 2
    assert payments(ledger) == paid


@doors
@modes
def test_an_agent_that_ran_nested_goes_on_unasked_and_its_own_calls_are_asked_about(
    tmp_path: Path, door: str, mode: str
) -> None:
    args = ("--door", door, "--mode", mode)
    ledger = killed(tmp_path, *args)
    outcome = resumed(tmp_path, *args)
    assert {question["tool"] for question in questions(outcome)} == {"pay"}
    for _ in range(2):
        if not outcome["interrupts"]:
            break
        given = {
            name: {question["id"]: {"done": f"paid {question['call_id']}"} for question in value["questions"]}
            for name, value in outcome["interrupts"].items()
        }
        outcome = resumed(tmp_path, *args, "--answer", json.dumps(given))
    assert outcome["answers"] == ["paid pay-0", "paid pay-1"]
    assert payments(ledger) == ["0", "1"]


@doors
@modes
def test_under_another_checkpoint_the_agent_inside_would_begin_again_so_it_is_asked_about(
    tmp_path: Path, door: str, mode: str
) -> None:
    args = ("--door", door, "--mode", mode)
    ledger = killed(tmp_path, *args)
    asked = questions(resumed(tmp_path, *args, "--at-latest"))
    assert {question["tool"] for question in asked} == {"ask"}
    assert payments(ledger) == ["0", "1"]


@doors
def test_a_default_to_fail_holds_for_what_was_not_seen_to_run_nested(tmp_path: Path, door: str) -> None:
    args = ("--door", door, "--kind", "own thread", "--policy", "fail")
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args)["error"] == "UnknownOutcome"
    assert payments(ledger) == ["0", "1"]
