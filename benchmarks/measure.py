"""Measuring two ways of the same work in turns, and the rows of the table that come of it."""

from __future__ import annotations

import cProfile
import gc
import pstats
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table: medians, in milliseconds unless `unit` says otherwise. `ratio` is `ours` by `other`, so below 1 is faster."""

    work: str
    ours: float
    #: what it is compared with, and how long that took
    against: str
    other: float
    #: runs of each
    runs: int
    #: what the ratio is to be at most; None where there is no aim
    aim: float | None = None
    unit: str = "ms"

    @property
    def ratio(self) -> float | None:
        """None where there is nothing to compare with."""
        return self.ours / self.other if self.other else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a whole run of the benchmark is made."""

    #: of measuring, for each row
    seconds: float
    #: with the rows that take minutes
    full: bool = False
    #: show where the time of `ours` goes, before each row
    profile: bool = False


Case = Callable[[Options], Iterator[Row]]


def in_turns(first: Work, second: Work, seconds: float) -> tuple[float, float, int]:
    """The medians of both in milliseconds, and how many runs of each.

    They take turns, and take turns at being first, so that a busy moment of the machine is fair to both.
    """
    for warm_up in (first, second) * 3:
        warm_up()
    times: tuple[list[float], list[float]] = ([], [])
    order = [(first, times[0]), (second, times[1])]
    gc.collect()
    gc.disable()
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end or len(times[0]) < 7:
            for run, found in order:
                found.append(timed(run))
            order.reverse()
            gc.collect(0)
    finally:
        gc.enable()
    return statistics.median(times[0]), statistics.median(times[1]), len(times[0])


def show_profile(work: Work) -> None:
    """Where the time of ten runs goes; of this thread alone before Python 3.12."""
    work()
    with cProfile.Profile() as profile:
        for _ in range(10):
            work()
    pstats.Stats(profile).sort_stats("tottime").print_stats(40)


def timed(work: Work) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def compare(
    work: str, ours: Work, against: str, other: Work, options: Options, *, aim: float | None = None
) -> Row:
    """A row: `ours` and `other` in turns."""
    if options.profile:
        show_profile(ours)
    mine, theirs, runs = in_turns(ours, other, options.seconds)
    return Row(work=work, ours=mine, against=against, other=theirs, runs=runs, aim=aim)
