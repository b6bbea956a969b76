"""What `make chaos` prints, and with which exit code it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crash.chaos.__main__ import main
from crash.chaos.figures import Figures, repeat
from crash.chaos.judge import Violation
from crash.chaos.plan import Door, Trial
from crash.chaos.trial import Outcome
from toolslot.testing import CrashPoint

TRIAL = Trial(door=Door.NODE, mode="async", policy="ask", point="after_start", seed=7)
ONE_TRIAL = ["--door", "plain", "--mode", "sync", "--policy", "fail", "--point", "stopped", "--seed", "0"]


def outcome(*deaths: str, wrong: tuple[str, ...] = (), raced: bool = False) -> Outcome:
    violations = tuple(Violation(kind=kind, what=f"what {kind} means") for kind in wrong)
    return Outcome(trial=TRIAL, deaths=deaths, raced=raced, violations=violations, seconds=1.0)


def test_the_line_counts_deaths_points_and_trials_that_went_wrong() -> None:
    figures = Figures.of(
        [
            outcome("after_start", "anywhere", wrong=("lost", "lost", "stuck")),
            outcome("after_start", wrong=("lost",), raced=True),
        ]
    )
    assert figures.line(12.3) == (
        "deaths=3 points=1 trials=2 raced=1 lost=2 duplicated=0 stuck=1 asked_wrongly=0 wrong_answers=0 seconds=12"
    )
    assert len(figures.unreached) == len(CrashPoint) - 1


def test_a_violation_comes_with_the_command_that_repeats_its_trial() -> None:
    first, second = repeat(outcome(wrong=("stuck",)))
    assert first == "make chaos ARGS='--door node --mode async --policy ask --point after_start --seed 7'"
    assert second.strip() == "stuck: what stuck means"
    assert [*repeat(outcome("after_start"))] == []


def test_the_command_that_repeats_a_race_says_how_many_recover_at_once() -> None:
    race = replace(outcome(wrong=("stuck",)), trial=replace(TRIAL, race=3, control="evicts"))
    assert next(repeat(race)).endswith("--seed 7 --race 3 --control evicts'")


@pytest.mark.crash
def test_a_trial_that_goes_well_ends_with_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ONE_TRIAL) == 0
    assert "lost=0 duplicated=0 stuck=0" in capsys.readouterr().out


@pytest.mark.crash
def test_a_violation_ends_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ONE_TRIAL, "--control", "swallows_refusals"]) == 1
    shown = capsys.readouterr().out
    assert f"make chaos ARGS='{' '.join(ONE_TRIAL)} --control swallows_refusals'" in shown
    assert "trials=1" in shown
