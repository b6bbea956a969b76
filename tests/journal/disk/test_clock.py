"""A clock that jumps, while a run works or between its runs: nothing depends on what time it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.harness import batch
from toolslot import DurableExecutor, Limits
from toolslot._batch._engine import Engine
from toolslot.journal import DiskJournal, Journal, purge_older
from toolslot.testing import FakeClock

YEAR = 365 * 86400.0
NOW = 1_800_000_000.0


class Executor(DurableExecutor):
    """One that believes in another clock than the system's."""

    def __init__(self, journal: DiskJournal, clock: FakeClock) -> None:
        self._clock = clock
        super().__init__(journal, limits=Limits(batch=1))

    def _make_engine(self, journal: Journal) -> Engine:
        return replace(super()._make_engine(journal), clock=self._clock)


def run(root: Path, clock: FakeClock, jump: float = 0.0, *, calls: int = 3) -> tuple[list[object], list[int]]:
    """What the batch gives and which calls ran, with a clock that jumps inside the second call."""
    ran: list[int] = []

    def tool(i: int) -> str:
        ran.append(i)
        if i == 1:
            clock.advance(jump)
        return f"done {i}"

    with DiskJournal.open(root) as journal:
        results = Executor(journal, clock).run_all(batch(*["t"] * calls), {"t": tool})
    return results, ran


@pytest.mark.parametrize("jump", [-YEAR, YEAR], ids=["back", "forward"])
def test_a_jump_while_a_run_works_loses_no_result_and_runs_nothing_twice(root: Path, jump: float) -> None:
    expected = ["done 0", "done 1", "done 2"]
    assert run(root, FakeClock(NOW), jump) == (expected, [0, 1, 2])
    assert run(root, FakeClock(NOW + jump)) == (expected, [])


@pytest.mark.parametrize("jump", [-YEAR, YEAR], ids=["back", "forward"])
def test_a_jump_between_two_runs_replays_what_was_recorded(root: Path, jump: float) -> None:
    results, ran = run(root, FakeClock(NOW))
    assert ran == [0, 1, 2]
    assert run(root, FakeClock(NOW + jump)) == (results, [])


@pytest.mark.parametrize("jump", [-YEAR, YEAR], ids=["back", "forward"])
def test_batches_stay_in_the_order_in_which_they_were_reserved(root: Path, jump: float) -> None:
    with DiskJournal.open(root) as journal:
        for number, now in enumerate([NOW, NOW + jump, NOW + 1]):
            Executor(journal, FakeClock(now)).run_all(batch("t", key=f"b-{9 - number}"), {"t": lambda i: i})
        assert [key.batch_id for key in journal.keys().result(10)] == ["b-9", "b-8", "b-7"]


def test_what_seems_to_come_from_the_future_is_not_purged_by_age(root: Path) -> None:
    run(root, FakeClock(NOW))
    with DiskJournal.open(root) as journal:
        assert purge_older(journal, 60.0, clock=lambda: NOW - YEAR).purged == ()
        assert len(journal.keys().result(10)) == 1
    assert run(root, FakeClock(NOW))[1] == []
