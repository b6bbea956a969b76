"""A batch is closed once all its answers were handed over, and not before."""

from __future__ import annotations

import threading

import pytest

from support.harness import World, batch
from toolslot import CallTimedOut, Failed, NotDone, ToolFailed, ToolPolicy, UnknownOutcome


@pytest.fixture
def world() -> World:
    return World()


class Killed(BaseException):
    """The process dies here."""


def closed(world: World) -> bool:
    record = world.journals[-1].load(batch("t").key).result()
    assert record is not None
    return record.fence.closed


def test_a_batch_of_which_all_is_replayed_is_closed_too(world: World) -> None:
    run = world.executor().open(batch("t", "t"))
    run.__enter__()
    assert [run.call(i, lambda: "first") for i in range(2)] == ["first"] * 2
    world.crash()  # before it let the batch go
    with world.executor().open(batch("t", "t")) as run:
        assert [run.call(i, lambda: "second") for i in range(2)] == ["first"] * 2
    assert closed(world)


def test_a_batch_without_calls_is_closed_by_the_write_that_reserves_it_and_owned_by_nobody(
    world: World,
) -> None:
    with world.executor().open(batch()) as run:
        fence = run.record.fence
        assert (fence.held, fence.closed, fence.epoch) == (False, True, 1)
        world.crash()  # before it could write anything more
    with world.executor().open(batch()) as again:
        assert again.record.fence == fence


def test_a_batch_of_which_something_is_missing_is_not_taken_over_to_close_it(world: World) -> None:
    run = world.executor().open(batch("t", "t"))
    run.__enter__()
    run.call(0, lambda: "first")
    world.crash()
    with world.executor().open(batch("t", "t")) as run:
        assert run.call(0, lambda: "second") == "first"
        assert run.record.fence.epoch == 1
    assert not closed(world)


def test_a_thread_that_hangs_does_not_keep_an_answered_batch_open(world: World) -> None:
    release = threading.Event()
    with world.executor(policies={"t": ToolPolicy(timeout=0.02)}).open(batch("t")) as run:
        with pytest.raises(CallTimedOut):
            run.call(0, lambda: release.wait(10))
        run.deliver(0, "it timed out")
    try:
        assert closed(world)
    finally:
        release.set()


@pytest.mark.parametrize("decided", [False, True])
def test_what_the_agent_is_told_of_a_failure_that_another_process_recorded_answers_the_call(
    world: World, decided: bool
) -> None:
    policies = {"t": ToolPolicy(on_unknown="ask", on_failed="retry" if decided else "replay")}
    with (
        pytest.raises(ZeroDivisionError),
        world.executor(policies=policies).open(batch("t")) as run,
    ):
        run.call(0, lambda: 1 // 0)
    if decided:
        with world.executor(policies=policies).open(batch("t")) as run:
            with pytest.raises(UnknownOutcome) as asked:
                run.call(0, lambda: None)
            run.decide(0, Failed("it broke"), by="ada", why="", version=asked.value.version)
    world.crash()
    with world.executor(policies=policies).open(batch("t")) as run:
        with pytest.raises(ToolFailed):
            run.call(0, lambda: None)
        run.deliver(0, "it failed")
    assert closed(world)


def test_a_call_that_runs_again_after_it_was_answered_must_be_answered_again(world: World) -> None:
    policies = {"t": ToolPolicy(on_unknown="ask")}
    run = world.executor(policies=policies).open(batch("t"))
    run.__enter__()

    def die() -> None:
        world.crash()
        raise Killed

    with pytest.raises(Killed):
        run.call(0, die)
    with world.executor(policies=policies).open(batch("t")) as run:
        with pytest.raises(UnknownOutcome):
            run.call(0, lambda: None)
        run.deliver(0, "nobody knows")
        run.decide(0, NotDone(), by="ada", why="", version=run.slot(0).version)
        with pytest.raises(ZeroDivisionError):
            run.call(0, lambda: 1 // 0)
    assert not closed(world)
