"""Old, finished runs can be forgotten; nothing else ever is."""

from __future__ import annotations

import threading

import pytest

from support.harness import World, batch, die_inside, running
from toolslot import (
    BatchBusy,
    EffectUnsettled,
    InvalidSetting,
    ResultNotStorable,
    RunPurged,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot.journal import purge_older, purge_run

KEYED = {"pay": ToolPolicy(effect_key="i")}


@pytest.fixture
def world() -> World:
    return World()


def later() -> float:
    import time

    return time.time() + 100.0


def finish(world: World, run: str) -> None:
    world.executor().run_all(batch("t", run=run), {"t": lambda i: i})


def test_case_18_a_forgotten_run_is_refused_and_does_not_run_again(world: World) -> None:
    finish(world, "old")
    assert purge_older(world.journals[-1], 50, clock=later).purged == ("old",)
    ran: list[int] = []
    with pytest.raises(RunPurged):
        world.executor().run_all(batch("t", run="old"), {"t": lambda i: ran.append(i)})
    assert ran == []


def test_a_young_run_stays(world: World) -> None:
    finish(world, "young")
    assert purge_older(world.journals[-1], 200, clock=later).purged == ()
    finish(world, "young")


def test_an_unfinished_run_stays_however_old_it_is(world: World) -> None:
    with world.executor().open(batch("t", "t", run="half")) as run:
        run.call(0, lambda: 1)
    retention = purge_older(world.journals[-1], 50, clock=later)
    assert retention.purged == ()
    assert retention.kept[0][0] == "half"
    assert "unfinished" in retention.kept[0][1]


def test_a_run_that_is_worked_on_stays(world: World) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(i: int) -> None:
        entered.set()
        assert release.wait(10)

    executor = world.executor()
    with running(lambda: executor.run_all(batch("t", run="busy"), {"t": slow})):
        assert entered.wait(10)
        assert "worked on" in purge_older(executor.journal, 50, clock=later).kept[0][1]
        with pytest.raises(BatchBusy, match="busy"):
            purge_run(executor.journal, "busy", why="test")
        release.set()


def test_a_dry_run_changes_nothing(world: World) -> None:
    finish(world, "old")
    assert purge_older(world.journals[-1], 50, dry_run=True, clock=later).purged == ("old",)
    finish(world, "old")


def test_one_run_can_be_forgotten_by_name_and_others_stay(world: World) -> None:
    finish(world, "a")
    finish(world, "b")
    purge_run(world.journals[-1], "a", why="asked to")
    with pytest.raises(RunPurged):
        finish(world, "a")
    finish(world, "b")


@pytest.mark.parametrize("age", [0, -1, float("nan")])
def test_an_age_that_means_nothing_is_refused(world: World, age: float) -> None:
    finish(world, "a")
    with pytest.raises(InvalidSetting):
        purge_older(world.journals[-1], age)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_stays_while_nobody_knows_of_an_effect_of_its_and_a_dry_run_says_so(dry_run: bool) -> None:
    """Its batch is closed: the agent was told that nobody knows, and has gone on."""
    world = World()
    die_inside(world, world.executor(policies=KEYED))
    executor = world.executor(policies={"pay": ToolPolicy(effect_key="i", on_unknown="fail")})
    with executor.open(batch("pay")) as run:
        with pytest.raises(UnknownOutcome):
            run.call(0, lambda: None)
        run.deliver(0, "nobody knows")
    retention = purge_older(world.journals[-1], 50, dry_run=dry_run, clock=later)
    assert retention.purged == ()
    ((run_id, reason),) = retention.kept
    assert run_id == "run-1"
    assert "has an effect key" in reason
    with pytest.raises(EffectUnsettled):
        purge_run(world.journals[-1], "run-1", why="to see")


def test_an_effect_outlives_its_run_and_its_result_does_not() -> None:
    world = World()
    world.executor(policies=KEYED).run_all(batch("pay"), {"pay": world.tool("pay")})
    assert purge_older(world.journals[-1], 50, clock=later).purged == ("run-1",)
    with pytest.raises(ResultNotStorable, match="result is purged"):
        world.executor(policies=KEYED).run_all(batch("pay", run="run-2"), {"pay": world.tool("pay")})
    executor = world.executor(policies=KEYED, lossy_replay=True)  # as hosts have it: the model reads a text
    (told,) = executor.run_all(batch("pay", run="run-3"), {"pay": world.tool("pay")})
    assert "is done: its effect was had by call 0 of batch run-1/b-1, whose result is purged" in told
    assert world.effects == ["pay"]
