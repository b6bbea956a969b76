"""A hundred calls of one response, killed in the middle: what was done stays done, however few may run at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.ledger import Ledger
from support.lives import child, modes, resumed

pytestmark = pytest.mark.crash

HUNDRED = range(100)
TEN_HANG = ("--hang-before", ",".join(str(i) for i in range(40, 50)), "--ready", "50")


def killed(folder: Path, *args: str) -> Ledger:
    with child(folder, *args) as first:
        first.await_line("READY")
        first.kill()
    return Ledger(folder / "ledger")


@modes
def test_case_05_of_a_hundred_calls_only_those_in_flight_run_again(tmp_path: Path, mode: str) -> None:
    args = ("--mode", mode, "--calls", "100", "--limit", "10", "--policy", "reconcile")
    ledger = killed(tmp_path, *args, *TEN_HANG)
    begun = ledger.counts("begin", HUNDRED)
    assert sum(begun) == 50
    assert len(resumed(tmp_path, *args)["answers"]) == 100
    assert ledger.counts("effect", HUNDRED) == [1] * 100
    asked = ledger.counts("asked", HUNDRED)
    assert sum(asked) == 10, "the ten in flight are asked about, and none that never started"
    assert all(was_begun for was_begun, was_asked in zip(begun, asked, strict=True) if was_asked)


@modes
def test_case_06_finished_calls_are_kept_when_they_run_one_at_a_time(tmp_path: Path, mode: str) -> None:
    args = ("--mode", mode, "--calls", "100", "--max-concurrency", "1")
    ledger = killed(tmp_path, *args, "--hang-after", "50", "--ready", "51")
    assert len(resumed(tmp_path, *args)["answers"]) == 100
    assert ledger.counts("effect", HUNDRED) == [2 if i == 50 else 1 for i in HUNDRED]
    assert ledger.count("model") == 1


@pytest.mark.parametrize("door", ["react2", "agent+make_durable", "agent+middleware"])
@modes
def test_of_a_hundred_calls_sent_ten_at_a_time_at_most_ten_are_repeated(
    tmp_path: Path, door: str, mode: str
) -> None:
    args = ("--door", door, "--mode", mode, "--calls", "100", "--max-concurrency", "10")
    ledger = killed(tmp_path, *args, "--hang-after", *TEN_HANG[1:])
    assert sum(ledger.counts("effect", HUNDRED)) == 50
    assert resumed(tmp_path, *args)["answers"] == [f"paid {i}" for i in HUNDRED]
    again = [i for i, times in enumerate(ledger.counts("effect", HUNDRED)) if times == 2]
    assert again == list(range(40, 50)), "those in flight, whose outcome nobody knows"
    assert sum(ledger.counts("begin", HUNDRED)) == 110
    assert ledger.count("model") == 1


def test_for_comparison_plain_langgraph_repeats_calls_that_had_finished(tmp_path: Path) -> None:
    args = ("--door", "plain-agent", "--calls", "100", "--max-concurrency", "10")
    ledger = killed(tmp_path, *args, "--hang-after", *TEN_HANG[1:])
    assert resumed(tmp_path, *args)["answers"] == [f"paid {i}" for i in HUNDRED]
    finished = ledger.counts("effect", HUNDRED)[:40]
    assert finished.count(2) > 0, (
        "their results waited behind calls; how many, the load of the machine decides"
    )
