"""One invoice that several agent runs, in several processes, want to pay: it is paid once, whoever dies where."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest

from support.examining import examined
from support.forked import Child, run
from support.gate import gate
from support.ledger import Ledger
from support.nightly import NIGHTLY
from toolslot.journal import DiskJournal

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "paying.py"
ROUNDS = 200 if NIGHTLY else 20
modes = pytest.mark.parametrize("mode", ["sync", "async"])
#: where nobody but the bank knows whether it was paid, and where the journal knows
AFTER_THE_EFFECT = ["after_return", "before_finish"]
AFTER_THE_RECORD = ["after_finish", "before_release"]


def payments(folder: Path) -> int:
    return sum(line.startswith("effect ") for line in Ledger(folder / "bank").lines())


def entered_by(folder: Path, name: str) -> int:
    return sum(line.startswith(f"begin {name} ") for line in Ledger(folder / "bank").lines())


def pay(folder: Path, name: str, *options: str) -> Any:
    return run(SCRIPT, [str(folder), name, *options])


def killed(folder: Path, name: str, point: str, *options: str) -> None:
    with Child(SCRIPT, str(folder), name, "--crash", point, *options) as child:
        assert child.wait() == -signal.SIGKILL


def at_once(folder: Path, names: list[str], *options: str) -> list[Any]:
    """The reports of processes that begin at the same instant."""
    with contextlib.ExitStack() as stack:
        with gate(folder / "gate"):
            children = [
                stack.enter_context(
                    Child(SCRIPT, str(folder), name, "--gate", "--mode", ["sync", "async"][n % 2], *options)
                )
                for n, name in enumerate(names)
            ]
            for child in children:
                child.await_line("READY")
        return [child.report() for child in children]


def sound(folder: Path) -> bool:
    with DiskJournal.open(folder / "journal") as journal:
        return examined(journal).sound


def test_two_runs_that_pay_at_the_same_instant_pay_once_and_get_the_same_receipt(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        one, other = at_once(folder, ["one", "other"])
        assert payments(folder) == 1
        assert one == other
        assert len(one["answers"]) == 1


def test_many_runs_with_several_calls_each_pay_once(tmp_path: Path) -> None:
    reports = at_once(tmp_path, [f"run-{n}" for n in range(6)], "--calls", "3")
    assert payments(tmp_path) == 1
    assert {receipt for report in reports for receipt in report["answers"]} == {reports[0]["answers"][0]}
    assert sound(tmp_path)


@modes
def test_who_comes_while_it_is_paid_waits_for_the_receipt(tmp_path: Path, mode: str) -> None:
    with contextlib.ExitStack() as stack:
        with gate(tmp_path / "till"):
            first = stack.enter_context(Child(SCRIPT, str(tmp_path), "one", "--hold"))
            first.await_line("READY")
            looking = ["--tell", "after_effect", "--mode", mode]
            second = stack.enter_context(Child(SCRIPT, str(tmp_path), "other", *looking))
            second.await_line("REACHED")
        assert second.report() == first.report()
    assert (payments(tmp_path), entered_by(tmp_path, "other")) == (1, 0)


@modes
@pytest.mark.parametrize("point", AFTER_THE_EFFECT)
def test_killed_between_payment_and_record_another_runs_reconciler_finds_it(
    tmp_path: Path, point: str, mode: str
) -> None:
    killed(tmp_path, "first", point, "--reconcile", "--mode", mode)
    assert payments(tmp_path) == 1
    answers = pay(tmp_path, "second", "--reconcile", "--mode", mode)["answers"]
    assert (payments(tmp_path), entered_by(tmp_path, "second")) == (1, 0)
    assert Ledger(tmp_path / "bank").count("asked", "second", "first") == 1
    assert pay(tmp_path, "first", "--reconcile")["answers"] == answers, "what the first gets when it resumes"
    assert sound(tmp_path)


@modes
@pytest.mark.parametrize("point", AFTER_THE_EFFECT)
def test_without_a_reconciler_the_other_run_stops_and_names_the_call_that_nobody_knows_of(
    tmp_path: Path, point: str, mode: str
) -> None:
    killed(tmp_path, "first", point)
    assert pay(tmp_path, "second", "--mode", mode) == {
        "error": "UnknownOutcome",
        "holder": "first",
        "ask": True,
    }
    assert (payments(tmp_path), entered_by(tmp_path, "second")) == (1, 0)


@pytest.mark.parametrize("point", ["after_start", "before_start", "before_effect", "after_effect"])
def test_killed_before_the_payment_the_other_run_pays(tmp_path: Path, point: str) -> None:
    killed(tmp_path, "first", point, "--reconcile")
    assert payments(tmp_path) == 0
    answers = pay(tmp_path, "second", "--reconcile")["answers"]
    assert pay(tmp_path, "first", "--reconcile")["answers"] == answers
    assert payments(tmp_path) == 1


@modes
@pytest.mark.parametrize("point", AFTER_THE_RECORD)
def test_killed_after_the_record_another_run_gets_the_receipt_and_enters_no_code(
    tmp_path: Path, point: str, mode: str
) -> None:
    killed(tmp_path, "first", point)
    (receipt,) = pay(tmp_path, "second", "--mode", mode)["answers"]
    assert Ledger(tmp_path / "bank").lines()[-1].split()[2] == receipt
    assert (payments(tmp_path), entered_by(tmp_path, "second")) == (1, 0)


@pytest.mark.parametrize("point", ["before_effect", "after_effect", "before_commit", "after_commit"])
def test_a_follower_that_is_killed_gets_the_same_receipt_when_it_resumes(tmp_path: Path, point: str) -> None:
    first = pay(tmp_path, "first")
    killed(tmp_path, "second", point)
    assert pay(tmp_path, "second") == first
    assert (payments(tmp_path), entered_by(tmp_path, "second")) == (1, 0)
    assert sound(tmp_path)
