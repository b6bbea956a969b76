"""A slice of `make chaos`: a death at every named point, each in one of its doors, modes and policies."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import pytest

from crash.chaos.figures import Figures, repeat
from crash.chaos.grid import cells, slice_of, slice_of_races, trials
from crash.chaos.plan import MODES, POLICIES, STOPPED, Door, Kind
from crash.chaos.pool import run_many
from support.forked import TESTS
from toolslot.testing import CrashPoint

pytest.importorskip("langchain")
pytest.importorskip("llama_index.core")


@pytest.mark.crash
@pytest.mark.timeout(400)
def test_killed_at_every_point_nothing_is_lost_nothing_is_done_twice_and_every_run_comes_to_its_end() -> None:
    outcomes = list(run_many(slice_of(), 4))
    wrong = [line for outcome in outcomes for line in repeat(outcome)]
    assert not wrong, "\n".join(wrong)
    assert Figures.of(outcomes).unreached == (), "a point that nothing reaches says nothing"


@pytest.mark.crash
@pytest.mark.timeout(400)
def test_of_processes_that_recover_at_the_same_instant_none_takes_what_another_has_and_all_are_told_the_same() -> (
    None
):
    outcomes = list(run_many(slice_of_races(), 4))
    wrong = [line for outcome in outcomes for line in repeat(outcome)]
    assert not wrong, "\n".join(wrong)
    assert all(outcome.raced for outcome in outcomes)


def test_a_tenth_of_all_trials_are_races_in_every_door_of_two_or_three() -> None:
    made = [trial for trial, _ in zip(trials(), range(2000), strict=False)]
    races = [trial for trial in made if trial.race]
    assert 190 <= len(races) <= 200
    assert {(trial.door, trial.mode, trial.policy) for trial in races} == {*product(Door, MODES, POLICIES)}
    assert {trial.race for trial in races} == {2, 3}
    assert {len(trial.kills) for trial in races} == {1, 2, 3}, "in some nobody dies on the way"
    assert {trial.busy_timeout < 1 for trial in races} == {True, False}, "some do not wait for others"


def test_every_point_has_its_cells_and_every_door_its_points() -> None:
    made = cells()
    assert {point.value for point in CrashPoint} <= {point for *_, point in made}
    for door in Door:
        for mode in MODES:
            for policy in POLICIES:
                points = {cell[3] for cell in made if cell[:3] == (door, mode, policy)}
                assert len(points) >= 35, "most points lie on every way"


PLANS = """
from itertools import islice
from crash.chaos.grid import trials
for trial in islice(trials(), 1500):
    print(trial, trial.calls, trial.limit, trial.kills, trial.side_kills)
"""


def plans(seed_of_hashes: str) -> bytes:
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed_of_hashes}
    return subprocess.run([sys.executable, "-c", PLANS], env=env, capture_output=True, check=True).stdout


def test_a_trial_is_the_same_in_every_process() -> None:
    assert plans("1") == plans("2")


def test_recoveries_die_too_up_to_three_in_a_row_and_calls_differ() -> None:
    made = [trial for trial, _ in zip(trials(), range(400), strict=False)]
    assert {len(trial.kills) for trial in made} >= {0, 1, 2, 3, 4}
    assert {len(trial.calls) for trial in made} >= set(range(1, 9))
    assert {call.kind for trial in made for call in trial.calls} == set(Kind)
    assert any(trial.point == STOPPED for trial in made)
    twice = [trial for trial in made if len({(call.kind, call.n) for call in trial.calls}) < len(trial.calls)]
    assert twice, "the same call twice"
    assert {"", "call", "call-0"} <= {trial.calls[0].call_id for trial in made}


def test_the_guide_says_what_becomes_of_a_call_at_every_point() -> None:
    guide = (TESTS.parent / "docs" / "reliability.md").read_text()
    assert [point.value for point in CrashPoint if f"`{point.value}`" not in guide] == []
