"""What is left out of a product of parameters: never two values that meet nowhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from support.pairwise import all_pairs, pairs

ROOT = Path(__file__).parents[1]
DOORS = ["node", "react", "agent", "middleware", "graph", "sub-graph", "one node"]
MATRIX = "tests/crash/langgraph/test_kill_matrix.py::test_by_default_only_the_calls_in_flight_run_again"


def rows(**values: list[str]) -> list[dict[str, str]]:
    return [dict(zip(values, row, strict=True)) for row in product(*values.values())]


PRODUCTS = {
    "3 parameters": rows(door=DOORS, mode=["sync", "async"], durability=["exit", "sync", "async"]),
    "4 parameters": rows(door=DOORS, mode=list("sa"), durability=list("esa"), policy=list("rfad")),
    "some rows left out": [
        row
        for row in rows(door=DOORS, mode=list("sa"), policy=list("rfad"))
        if row["policy"] + row["mode"] != "ra"
    ],
}


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_two_values_that_meet_in_a_row_meet_in_one_that_is_chosen(product: str) -> None:
    all_rows = PRODUCTS[product]
    chosen = all_pairs(all_rows)
    assert set().union(*(pairs(all_rows[i]) for i in chosen)) == set().union(*map(pairs, all_rows))
    assert len(chosen) <= len(all_rows) * 2 / 3


def test_as_few_rows_as_two_parameters_with_most_values_need_are_nearly_enough() -> None:
    assert len(all_pairs(PRODUCTS["3 parameters"])) == 7 * 3
    assert len(all_pairs(PRODUCTS["4 parameters"])) <= 7 * 4 + 4


def test_no_value_is_favoured() -> None:
    modes = [PRODUCTS["3 parameters"][i]["mode"] for i in all_pairs(PRODUCTS["3 parameters"])]
    assert abs(modes.count("sync") - modes.count("async")) <= 1


def test_the_choice_is_the_same_each_time_and_keeps_the_order() -> None:
    chosen = all_pairs(PRODUCTS["4 parameters"])
    assert chosen == sorted(set(chosen)) == all_pairs(list(PRODUCTS["4 parameters"]))


@pytest.mark.parametrize("values", [{"door": DOORS}, {"door": DOORS, "mode": ["sync", "async"]}])
def test_one_parameter_or_two_keep_every_row(values: dict[str, list[str]]) -> None:
    assert all_pairs(rows(**values)) == list(range(len(rows(**values))))


def collected(*args: str, nightly: str = "0") -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "pytest_timeout", *args],
        cwd=ROOT,
        env={**os.environ, "TOOLSLOT_NIGHTLY": nightly, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r"\[(.+)\]$", done.stdout, re.MULTILINE))


@pytest.fixture(scope="module")
def by_night() -> set[str]:
    return collected(MATRIX, nightly="1")


@pytest.fixture(scope="module")
def by_day() -> set[str]:
    return collected(MATRIX)


@pytest.mark.slow
def test_of_a_marked_test_each_door_runs_in_each_mode_and_all_rows_by_night(
    by_day: set[str], by_night: set[str]
) -> None:
    assert by_day < by_night
    assert len(by_day) == len(by_night) / 2
    day, night = ([tuple(row.split("-", 2)) for row in found] for found in (by_day, by_night))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert {(row[one], row[other]) for row in day} == {(row[one], row[other]) for row in night}


@pytest.mark.slow
def test_a_row_that_is_asked_for_by_its_name_is_run(by_day: set[str], by_night: set[str]) -> None:
    left_out = min(by_night - by_day)
    assert left_out in collected(MATRIX, "-k", left_out)
