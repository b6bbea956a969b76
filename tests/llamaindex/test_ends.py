"""Runs that end before their calls: what waits in the queue does not begin, and runs when the run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from workflows.errors import WorkflowCancelledByUser

from toolslot import BatchKey, EventKind, ToolPolicy
from toolslot._batch._pool import process_pool


async def waited_for_too_long(handler: Any) -> None:
    await asyncio.wait_for(handler, 0.001)


async def cancelled_by_the_user(handler: Any) -> None:
    await handler.cancel_run()
    await handler


async def awaited_by_a_task_that_is_cancelled(handler: Any) -> None:
    async def waiting() -> None:
        await handler

    task = asyncio.ensure_future(waiting())
    await asyncio.sleep(0)
    task.cancel()
    await task


@pytest.mark.parametrize(
    "end", [waited_for_too_long, cancelled_by_the_user, awaited_by_a_task_that_is_cancelled]
)
def test_a_call_that_waits_for_its_turn_does_not_begin_after_the_run_has_ended(
    talk: Any, end: Callable[[Any], Awaitable[None]]
) -> None:
    release = asyncio.Event()

    async def work(i: int) -> str:
        """Works."""
        talk.effects.append(f"work {i}")
        await release.wait()
        return str(i)

    talk.script([("work", {"i": i}) for i in range(8)], "done")
    policies = {"work": ToolPolicy(on_unknown="rerun")}
    agent = talk.agent([work], max_parallel=2, policies=policies)

    async def main() -> Any:
        handler = agent.run(user_msg="go", run_id="r-1")
        # A call has its permit before its start mark, and begins only after that.
        while "running=2 waiting=2" not in repr(process_pool()) or len(talk.effects) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        with pytest.raises((asyncio.CancelledError, asyncio.TimeoutError, WorkflowCancelledByUser)):
            await end(handler)
        release.set()
        while process_pool().running:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        found = await asyncio.wrap_future(agent.toolslot_executor.journal.load(BatchKey("r-1", "turn-0")))
        states = [slot.state.value for slot in found.slots]
        began = list(talk.effects)
        again = await talk.agent([work], policies=policies).run(user_msg="go", run_id="r-1")
        return states, began, str(again)

    states, began, again = asyncio.run(main())
    assert began == ["work 0", "work 1"]
    assert states == ["unknown"] * 2 + ["reserved"] * 6
    assert again == "done"
    assert sorted(talk.effects) == sorted([*began, *(f"work {i}" for i in range(8))])
    assert len(talk.world.events.calls(EventKind.STARTED)) == 10
