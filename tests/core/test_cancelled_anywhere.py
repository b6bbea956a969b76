"""An async run is cancelled at each of its awaits in turn: what is left is true, and a resume comes to the end.

The journal's answers come a turn of the event loop later, so that every one of them is awaited, and the same ones each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import pytest

from support.harness import batch
from support.odd import OddJournal, complete
from toolslot import (
    Done,
    DurableExecutor,
    Limits,
    MemoryJournal,
    NotDone,
    Reason,
    SlotState,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot.journal import MemoryStore

TOOLS = ("rerun", "ask", "fail", "asked about", "again and again")
B = batch(*TOOLS)
MOST = 400


def later(_: object, future: Future[Any]) -> Future[Any]:
    """The same answer, at the next turn of the loop; at once where there is none."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return future
    held: Future[Any] = Future()
    loop.call_soon(complete, held, future)
    return held


class Bank:
    """What the tools really did."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.begun = [0] * len(TOOLS)
        self.done = [0] * len(TOOLS)

    def executor(self, journal: MemoryJournal) -> DurableExecutor:
        policies = {
            "rerun": ToolPolicy(on_unknown="rerun"),
            "ask": ToolPolicy(on_unknown="ask"),
            "fail": ToolPolicy(on_unknown="fail"),
            "asked about": ToolPolicy(reconcile=lambda slot: Done("done 3") if self.done[3] else NotDone()),
            "again and again": ToolPolicy(idempotent=True),
        }
        return DurableExecutor(journal, policies=policies, limits=Limits(batch=2, busy_timeout=5), hooks=[])

    async def tool(self, i: int) -> str:
        self.begun[i] += 1
        await asyncio.sleep(0)
        self.done[i] += 1
        await asyncio.sleep(0)
        return f"done {i}"


async def one_by_one(bank: Bank, executor: DurableExecutor) -> None:
    async with executor.open(B) as run:
        for i in range(len(TOOLS)):
            assert await run.acall(i, lambda i=i: bank.tool(i)) == f"done {i}"


async def together(bank: Bank, executor: DurableExecutor) -> None:
    await executor.arun_all(B, dict.fromkeys(TOOLS, bank.tool))


class Turns:
    """Awaits something and cancels its task while it hangs for the `last` time. `count`: how often it hung."""

    def __init__(self, work: Awaitable[None], last: int) -> None:
        self.work, self.last, self.count = work, last, 0

    def __await__(self) -> Any:
        steps = self.work.__await__()
        task = asyncio.current_task()
        assert task is not None
        try:
            waiting = next(steps)
            while True:
                self.count += 1
                if self.count == self.last:
                    asyncio.get_running_loop().call_soon(task.cancel)
                try:
                    sent = yield waiting
                except BaseException as error:
                    waiting = steps.throw(error)
                else:
                    waiting = steps.send(sent)
        except StopIteration:
            return


def cancelled_at(turn: int, work: Callable[[Bank, DurableExecutor], Awaitable[None]]) -> tuple[Bank, bool]:
    """A run that was cancelled at this turn; whether it came to the end before."""
    bank = Bank()
    journal = OddJournal(bank.store)
    journal.after = later

    async def hang() -> None:
        await Turns(work(bank, bank.executor(journal)), turn)

    ended = True
    try:
        asyncio.run(hang())
    except asyncio.CancelledError:
        ended = False
    journal.after = lambda _, future: future
    return bank, ended


def ticked(turn: int, work: Callable[[Bank, DurableExecutor], Awaitable[None]]) -> tuple[Bank, bool]:
    """The same, for work that is done in tasks of its own: cancelled after so many turns of the event loop."""
    bank = Bank()
    journal = OddJournal(bank.store)
    journal.after = later

    async def main() -> bool:
        task = asyncio.ensure_future(work(bank, bank.executor(journal)))
        for _ in range(turn):
            await asyncio.sleep(0)
        if task.done():
            await task
            return True
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return False
        return True

    return bank, asyncio.run(main())


def check_what_is_left(bank: Bank, journal: MemoryJournal) -> None:
    record = journal.load(B.key).result()
    if record is None:
        assert bank.begun == [0] * len(TOOLS)
        return
    assert not record.held, "no living owner holds the batch"
    for slot, begun, done in zip(record.slots, bank.begun, bank.done, strict=True):
        match slot.state:
            case SlotState.RESERVED:
                # An idempotent call leaves no start mark, and a mark that was taken back counts as an attempt.
                assert begun == 0 or slot.spec.idempotent
            case SlotState.UNKNOWN:
                assert (slot.reason, begun) == (Reason.CANCELLED, 1)
            case SlotState.SUCCEEDED:
                assert (begun, done) == (1, 1)
            case _:
                pytest.fail(f"call {slot.index} is {slot.state.value}")


def check_a_resume(bank: Bank, journal: MemoryJournal) -> None:
    """Everything gets an answer; nothing is done twice but what may be, and what nobody knows is asked about."""
    done = list(bank.done)
    record = journal.load(B.key).result()
    unknown = [slot.state is SlotState.UNKNOWN for slot in record.slots] if record else [False] * len(TOOLS)

    async def resume() -> None:
        async with bank.executor(journal).open(B) as run:
            for i, name in enumerate(TOOLS):
                if name in ("ask", "fail") and unknown[i]:
                    with pytest.raises(UnknownOutcome) as raised:
                        await run.acall(i, lambda i=i: bank.tool(i))
                    assert bank.done[i] == done[i]
                    answer = Done(f"done {i}") if done[i] else NotDone()
                    await run.adecide(i, answer, by="ada", why="", version=raised.value.version)
                assert await run.acall(i, lambda i=i: bank.tool(i)) == f"done {i}"

    asyncio.run(resume())
    once = [i for i, name in enumerate(TOOLS) if name in ("ask", "fail", "asked about")]
    assert [bank.done[i] for i in once] == [1] * len(once)
    for i, name in enumerate(TOOLS):
        allowed = 2 if unknown[i] or name == "again and again" else 1
        assert 1 <= bank.done[i] <= allowed, name
    closed = journal.load(B.key).result()
    assert closed is not None
    assert closed.settled
    assert closed.fence.closed


@pytest.mark.parametrize(("run", "work", "awaits"), [(cancelled_at, one_by_one, 20), (ticked, together, 10)])
def test_cancelled_at_any_await_a_run_leaves_the_truth_and_resumes(
    run: Callable[..., tuple[Bank, bool]], work: Any, awaits: int
) -> None:
    for turn in range(1, MOST):
        bank, ended = run(turn, work)
        journal = MemoryJournal(bank.store)
        if not ended:
            check_what_is_left(bank, journal)
        check_a_resume(bank, journal)
        if ended:
            break
    assert awaits <= turn < MOST - 1, "every await had its turn, and they came to an end"
    assert bank.done == [1] * len(TOOLS)
