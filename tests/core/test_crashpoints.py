"""Crash points: a process dies where it was told to, and nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import timeit
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolslot._crashpoints import CrashPoint, Trap, reach
from toolslot._errors import InvalidSetting
from toolslot.testing import crash_at, crash_environment


class Died(BaseException):
    """Instead of the real thing."""


def died() -> None:
    raise Died


def child(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


LOOP = """
from toolslot._crashpoints import CrashPoint, reach
try:
    for number in range(5):
        print(number, flush=True)
        reach(CrashPoint.BEFORE_START)
        reach(CrashPoint.AFTER_START)
finally:
    print("tidied up", flush=True)
"""


@pytest.mark.crash
def test_a_child_dies_at_its_point_without_tidying_up() -> None:
    done = child(LOOP, crash_environment(CrashPoint.AFTER_START, 3))
    assert done.stdout.split("\n") == ["0", "1", "2", ""]
    assert done.returncode == (137 if sys.platform == "win32" else -signal.SIGKILL)


@pytest.mark.crash
def test_a_child_that_never_gets_there_lives() -> None:
    done = child(LOOP, crash_environment("after_finish"))
    assert (done.returncode, done.stdout.split()[-2:]) == (0, ["tidied", "up"]), done.stderr


@pytest.mark.crash
@pytest.mark.parametrize("text", ["nowhere", "after_start:0", "after_start:x", "after_start:-1"])
def test_a_child_with_a_senseless_setting_says_so(text: str) -> None:
    done = child(LOOP, {"TOOLSLOT_CRASH_AT": text})
    assert done.returncode == 1
    assert f"TOOLSLOT_CRASH_AT='{text}'" in done.stderr
    assert "after_start" in done.stderr


def test_without_a_trap_nothing_happens() -> None:
    for point in CrashPoint:
        reach(point)


def test_without_a_trap_a_point_costs_about_as_much_as_calling_a_function_that_does_nothing() -> None:
    def nothing(point: CrashPoint) -> None:
        pass

    point = CrashPoint.AFTER_START
    empty = min(timeit.repeat(lambda: nothing(point), number=20_000, repeat=9))
    reached = min(timeit.repeat(lambda: reach(point), number=20_000, repeat=9))
    assert reached < 3 * empty


@pytest.mark.parametrize("point", CrashPoint)
def test_a_point_is_reached_by_its_own_name_only(point: CrashPoint) -> None:
    with crash_at(point, action=died):
        for other in CrashPoint:
            if other is not point:
                reach(other)
        with pytest.raises(Died):
            reach(point)


def test_a_trap_springs_once_at_its_time() -> None:
    with crash_at("before_replay", 2, action=died):
        reach(CrashPoint.BEFORE_REPLAY)
        with pytest.raises(Died):
            reach(CrashPoint.BEFORE_REPLAY)
        reach(CrashPoint.BEFORE_REPLAY)


def test_a_trap_is_gone_after_its_block() -> None:
    with crash_at("before_replay", action=died), crash_at("after_return", action=died):
        reach(CrashPoint.BEFORE_REPLAY)
    reach(CrashPoint.BEFORE_REPLAY)
    reach(CrashPoint.AFTER_RETURN)


def test_times_are_counted_over_all_threads() -> None:
    sprung: list[int] = []
    trap = Trap(CrashPoint.AFTER_FINISH, 50, lambda: sprung.append(1))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(trap.reach, [CrashPoint.AFTER_FINISH] * 100))
    assert sprung == [1]


@pytest.mark.parametrize("nth", [0, -1])
def test_times_are_counted_from_one(nth: int) -> None:
    with pytest.raises(InvalidSetting, match="counted from 1"):
        crash_environment(CrashPoint.AFTER_START, nth)


def test_the_environment_names_the_point_and_the_time() -> None:
    assert crash_environment("after_return", 4) == {"TOOLSLOT_CRASH_AT": "after_return:4"}
