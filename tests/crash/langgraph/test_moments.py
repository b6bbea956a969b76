"""Killed at the worst moments: as a result comes back, while the saver writes; and resumed by the latest checkpoint's name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.ledger import Ledger
from support.lives import FIVE, PAID, child, doors, killed, modes, resumed
from toolslot import DiskJournal, SlotState

pytestmark = [pytest.mark.crash, pytest.mark.pairwise]


def recorded(folder: Path) -> set[int]:
    """The calls whose results are in the journal of a dead process."""
    with DiskJournal.open(folder / "journal", read_only=True) as journal:
        records = [journal.load(key).result() for key in journal.keys().result()]
    slots = [slot for record in records if record is not None for slot in record.slots]
    return {i for i, slot in enumerate(slots) if slot.state is SlotState.SUCCEEDED}


def await_closed(folder: Path) -> None:
    """Until the only batch of a living process is closed; no other process is told of that."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with DiskJournal.open(folder / "journal", read_only=True) as journal:
            (key,) = journal.keys().result()
            record = journal.load(key).result()
        if record is not None and record.fence.closed:
            return
        time.sleep(0.01)
    raise AssertionError("the batch was not closed")


def kill_as_the_third_call_returns(folder: Path, milliseconds: int, *args: str) -> None:
    with child(folder, *args, "--stamp", "--hang-before", "3,4", "--returns", "3") as first:
        first.await_line("RETURNS")
        until = time.perf_counter() + milliseconds * 0.001
        while time.perf_counter() < until:
            pass
        first.kill()


@modes
@pytest.mark.parametrize("milliseconds", range(5))
@pytest.mark.parametrize(
    "door", ["node", "react1+make_durable", "react2", "agent+make_durable", "agent+middleware"]
)
def test_killed_as_a_tool_returns_what_is_recorded_is_neither_lost_nor_repeated(
    tmp_path: Path, door: str, milliseconds: int, mode: str
) -> None:
    args = ("--door", door, "--mode", mode)
    kill_as_the_third_call_returns(tmp_path, milliseconds, *args)
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 0, 0]
    known = recorded(tmp_path)
    assert known <= {0, 1, 2}
    answers = resumed(tmp_path, *args, "--stamp")["answers"]
    assert answers == [f"paid {i} in life {1 if i in known else 2}" for i in FIVE]
    assert ledger.counts("effect", FIVE) == [2 if i < 3 and i not in known else 1 for i in FIVE]
    assert ledger.count("model") == 1


@doors
@modes
def test_with_a_saver_that_takes_half_a_second_no_finished_call_is_repeated(
    tmp_path: Path, door: str, mode: str
) -> None:
    """All five have returned; LangGraph is about to save them and does not get that far."""
    args = ("--door", door, "--mode", mode)
    one_write = "1" if door in ("node", "react1", "react1+make_durable") else "5"
    with child(tmp_path, *args, "--slow-saver", "0.5", "--writes", one_write) as first:
        first.await_line("WRITING")
        first.kill()
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.count("model") == 1


def test_for_comparison_plain_langgraph_repeats_all_of_them(tmp_path: Path) -> None:
    """The fifth hangs after its effect: once all have returned, LangGraph may have saved them with its next checkpoint."""
    args = ("--door", "plain-agent")
    events = ("--ready", "5", "--writes", "4")
    with child(tmp_path, *args, "--slow-saver", "30", "--hang-after", "4", *events) as first:
        first.await_line("READY")
        first.await_line("WRITING")
        first.kill()
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert Ledger(tmp_path / "ledger").counts("effect", FIVE) == [2, 2, 2, 2, 2]


@doors
@modes
def test_killed_before_the_checkpoint_of_the_step_is_saved_no_finished_call_is_repeated(
    tmp_path: Path, door: str, mode: str
) -> None:
    """With `durability="async"`, and calls that do not wait for it, since they may run twice. LangGraph has the model's answer, and makes a
    new checkpoint of it on resume.
    """
    args = ("--door", door, "--mode", mode, "--durability", "async", "--policy", "idempotent")
    ledger = killed(tmp_path, *args, "--slow-checkpoint", "60", "--ready", "7")
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 2, 1]
    assert ledger.count("model") == 1


#: what LangGraph has not saved when all calls have been answered, and how the thread is resumed
LOSSES = {
    "the-checkpoint-before-the-calls": (
        ("--slow-checkpoint", "60", "--ready", "7"),
        "async",
        "idempotent",
        (),
    ),
    "the-answers-resumed-by-name": (
        ("--slow-answers", "60", "--ready", "5"),
        "sync",
        "default",
        ("--at-latest",),
    ),
}


@doors
@modes
@pytest.mark.parametrize("loss", LOSSES)
def test_killed_when_all_had_been_answered_and_langgraph_had_not_saved_it_no_call_is_repeated(
    tmp_path: Path, door: str, mode: str, loss: str
) -> None:
    """The batch is closed by then, and LangGraph runs the response under another checkpoint, as it does for time travel."""
    slow, durability, policy, resume = LOSSES[loss]
    args = ("--door", door, "--mode", mode, "--durability", durability, "--policy", policy)
    with child(tmp_path, *args, *slow) as first:
        first.await_line("READY")
        await_closed(tmp_path)
        first.kill()
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert resumed(tmp_path, *args, *resume)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.count("model") == 1


@modes
def test_for_comparison_plain_langgraph_then_repeats_what_had_finished(tmp_path: Path, mode: str) -> None:
    args = ("--door", "plain-agent", "--mode", mode, "--durability", "async")
    ledger = killed(tmp_path, *args, "--slow-checkpoint", "60", "--ready", "7")
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [2, 2, 2, 2, 1]
    assert ledger.count("model") == 1


@doors
@modes
@pytest.mark.parametrize(
    ("policy", "effects"), [("default", [1, 1, 1, 2, 1]), ("reconcile", [1, 1, 1, 1, 1])]
)
def test_a_resume_that_names_the_latest_checkpoint_repeats_no_finished_call(
    tmp_path: Path, door: str, mode: str, policy: str, effects: list[int]
) -> None:
    args = ("--door", door, "--mode", mode, "--policy", policy)
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args, "--at-latest")["answers"] == PAID
    assert ledger.counts("effect", FIVE) == effects
    assert ledger.count("model") == 1


def test_for_comparison_plain_langgraph_takes_it_for_a_fork(tmp_path: Path) -> None:
    args = ("--door", "plain-agent")
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args, "--at-latest")["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [2, 2, 2, 2, 1]


@doors
@modes
def test_killed_with_arguments_that_a_checkpoint_gives_back_as_something_else_the_calls_are_found_again(
    tmp_path: Path, door: str, mode: str
) -> None:
    """Half a surrogate pair, an object, tuples, dates, bytes, sets, int keys; in a thread whose id is an int."""
    args = ("--door", door, "--mode", mode, "--odd", "--policy", "reconcile")
    ledger = killed(tmp_path, *args)
    assert resumed(tmp_path, *args)["answers"] == PAID
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]
    assert ledger.counts("asked", FIVE) == [0, 0, 0, 1, 1]
    assert ledger.count("model") == 1
