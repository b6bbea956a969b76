"""The test kit's own small parts: the clock, the checks, and the cases of a test."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolslot.testing import FakeClock
from toolslot.testing._checks import holds, raises, same


def test_a_clock_stands_still_until_it_is_told() -> None:
    clock = FakeClock(100.0)
    assert (clock(), clock()) == (100.0, 100.0)
    assert clock.advance(2.5) == 102.5
    assert clock() == 102.5


def test_a_wall_clock_can_be_set_back() -> None:
    clock = FakeClock(100.0)
    clock.advance(-31_536_000)
    assert clock() == 100.0 - 31_536_000


def test_a_stepping_clock_never_says_the_same_twice() -> None:
    clock = FakeClock(step=1.0)
    with ThreadPoolExecutor(8) as threads:
        times = [threads.submit(clock) for _ in range(1000)]
    assert len({time.result() for time in times}) == 1000


def test_same_shows_both_values_and_not_all_of_a_big_one() -> None:
    same([1], [1])
    with pytest.raises(AssertionError, match=r"outcome: expected 'a+.*a+', got 'b'") as raised:
        same("b", "a" * 10_000_000, "outcome")
    assert len(str(raised.value)) < 1000


def test_holds_says_what_does_not_hold() -> None:
    holds(True, "water is wet")
    with pytest.raises(AssertionError, match="water is wet"):
        holds(False, "water is wet")


def test_raises_wants_the_very_error() -> None:
    with raises(KeyError, ValueError):
        raise ValueError
    with pytest.raises(AssertionError, match="expected KeyError, got ValueError: wrong"), raises(KeyError):
        raise ValueError("wrong")
    with pytest.raises(AssertionError, match="expected KeyError, but nothing was raised"), raises(KeyError):
        pass


def test_the_kit_needs_no_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; import toolslot.testing; print(toolslot.testing.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "JournalContract" in done.stdout, done.stderr
