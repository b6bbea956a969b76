"""What becomes of a closed batch when the host runs its response again: the host is asked whether it has kept the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support.harness import World, batch
from toolslot import Batch, BatchKey
from toolslot.journal import Adopt

FORK = batch("pay", "mail", key="fork", lineage="response")


def run(world: World, which: Batch, *, asynchronous: bool = False, **settings: Any) -> list[str]:
    """A process start that runs both calls of the batch, and notes each."""
    executor = world.executor()
    done: list[str] = []

    def code(index: int) -> Callable[[], str]:
        def fn() -> str:
            world.effects.append(which.calls[index].tool)
            return f"{which.calls[index].tool} under {which.batch_id}"

        return fn

    async def all_of_them() -> None:
        async with executor.open(which, **settings) as opened:
            first = await opened.acall(0, lambda: asyncio.to_thread(code(0)))
            done.extend([first, await opened.acall(1, lambda: asyncio.to_thread(code(1)))])

    if asynchronous:
        asyncio.run(all_of_them())
    else:
        with executor.open(which, **settings) as opened:
            done.extend(opened.call(index, code(index)) for index in range(2))
    executor.drain(5)
    return done


@pytest.fixture
def finished(world: World) -> World:
    """Both calls were run and handed over, and the batch is closed."""
    run(world, batch("pay", "mail", key="first", lineage="response"))
    (state,) = world.store.batches.values()
    assert state.fence.closed
    return world


def sync_answer(kept: bool, asked: list[BatchKey]) -> Callable[[BatchKey], Any]:
    return lambda key: asked.append(key) or kept


def async_answer(kept: bool, asked: list[BatchKey]) -> Callable[[BatchKey], Any]:
    async def answer(key: BatchKey) -> bool:
        await asyncio.sleep(0)
        asked.append(key)
        return kept

    return answer


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync run", "async run"])
@pytest.mark.parametrize("answer", [sync_answer, async_answer])
@pytest.mark.parametrize(("kept", "effects"), [(True, 4), (False, 2)])
def test_answers_that_the_host_has_lost_are_handed_over_again(
    finished: World, asynchronous: bool, answer: Any, kept: bool, effects: int
) -> None:
    asked: list[BatchKey] = []
    found = run(finished, FORK, asynchronous=asynchronous, kept=answer(kept, asked))
    under = "fork" if kept else "first"
    assert found == [f"pay under {under}", f"mail under {under}"]
    assert len(finished.effects) == effects
    assert asked == [BatchKey("run-1", "first")]


def test_the_host_is_asked_once_and_the_decision_stays(finished: World) -> None:
    asked: list[BatchKey] = []
    for kept in (False, True, True):
        run(finished, FORK, kept=sync_answer(kept, asked))
    assert len(finished.effects) == 2
    assert len(asked) == 1


@pytest.mark.parametrize("adopt", [Adopt.NEVER, Adopt.ALWAYS])
def test_the_host_is_not_asked_where_it_has_said_what_to_do(finished: World, adopt: Adopt) -> None:
    asked: list[BatchKey] = []
    run(finished, FORK, adopt=adopt, kept=sync_answer(True, asked))
    assert not asked


def test_the_host_is_not_asked_about_a_batch_that_was_left_unfinished(world: World) -> None:
    with world.executor().open(batch("pay", "mail", key="first", lineage="response")) as opened:
        opened.call(0, lambda: "pay under first")
    asked: list[BatchKey] = []
    assert run(world, FORK, kept=sync_answer(True, asked)) == ["pay under first", "mail under fork"]
    assert not asked


def test_a_host_that_cannot_be_asked_stops_the_batch_before_anything_is_reserved(finished: World) -> None:
    def fails(key: BatchKey) -> bool:
        raise ConnectionError("the saver is away")

    with pytest.raises(ConnectionError, match="the saver is away"):
        run(finished, FORK, kept=fails)
    assert list(finished.store.batches) == [BatchKey("run-1", "first")]
    assert run(finished, FORK, kept=sync_answer(False, [])) == ["pay under first", "mail under first"]
