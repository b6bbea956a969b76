"""Calls that are entered as soon as their batch is open: their start marks come in the commit of the reservation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.harness import World, batch, both, running
from support.odd import Held, OddJournal, writes
from toolslot import (
    Done,
    Draining,
    DurableExecutor,
    JournalError,
    Limits,
    SlotState,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot._batch._pool import process_pool
from toolslot._domain._operations import Reserve
from toolslot._domain._slot import Finished, Started
from toolslot.journal import Append, OwnerState, open_journal
from toolslot.testing._worker import state_of

ASK = {"pay": ToolPolicy(on_unknown="ask")}
TWO = batch("pay", "pay")


def journaled(limits: Limits | None = None, **settings: Any) -> tuple[DurableExecutor, list[Any]]:
    """An executor without hooks, and the operations that its journal was given."""
    journal, given = OddJournal(), list[Any]()
    journal.before = given.append  # type: ignore[assignment]
    return DurableExecutor(journal, limits=limits, hooks=[], **settings), given


def states(executor: DurableExecutor, at: Any = TWO) -> list[SlotState]:
    record = executor.journal.load(at.key).result(5)
    assert record is not None
    return [slot.state for slot in record.slots]


def test_the_marks_come_with_the_reservation_and_none_is_written_again() -> None:
    executor, given = journaled()
    with executor.open(TWO, entering=(0, 1)) as run:
        assert states(executor) == [SlotState.RUNNING] * 2
        assert [run.call(i, lambda i=i: f"paid {i}") for i in (0, 1)] == ["paid 0", "paid 1"]
    assert [mark.index for mark in given[0].starts] == [0, 1]
    assert not any(writes(operation, Started) for operation in given)
    assert states(executor) == [SlotState.SUCCEEDED] * 2


def test_a_call_is_reserved_to_its_host_until_it_is_entered() -> None:
    executor, _ = journaled()
    with executor.open(TWO, entering=(0,)) as run:
        assert run.slot(0).state is SlotState.RESERVED
        assert run.record.slots[0].state is SlotState.RESERVED
        assert run.call(0, lambda: run.slot(0).state) is SlotState.RUNNING


def test_a_call_that_was_not_entered_is_taken_back_when_the_batch_is_let_go() -> None:
    before = process_pool().running
    executor, _ = journaled()
    with executor.open(TWO, entering=(0, 1)) as run:
        run.call(1, lambda: "paid")
        assert process_pool().running == before + 1
    assert states(executor) == [SlotState.RESERVED, SlotState.SUCCEEDED]
    assert process_pool().running == before
    with executor.open(TWO) as run:
        assert run.call(0, lambda: "paid at last") == "paid at last"


def test_only_calls_that_have_permits_get_marks() -> None:
    executor, given = journaled(Limits(batch=1))
    with executor.open(TWO, entering=(0, 1)) as run:
        assert states(executor) == [SlotState.RUNNING, SlotState.RESERVED]
        run.call(0, lambda: "paid")
        run.call(1, lambda: "paid")
    assert [mark.index for mark in given[0].starts] == [0]


def test_an_idempotent_call_needs_no_mark() -> None:
    executor, given = journaled(policies={"read": ToolPolicy(idempotent=True)})
    with executor.open(batch("read", "pay"), entering=(0, 1)):
        pass
    assert [mark.index for mark in given[0].starts] == [1]


def test_a_call_about_which_somebody_would_be_asked_gets_its_mark_when_it_is_entered() -> None:
    policies = {
        "ask": ToolPolicy(on_unknown="ask"),
        "fail": ToolPolicy(on_unknown="fail"),
        "reconcile": ToolPolicy(reconcile=lambda slot: Done()),
        "both": ToolPolicy(reconcile=lambda slot: Done(), on_unknown="rerun"),
        "rerun": ToolPolicy(on_unknown="rerun"),
    }
    executor, given = journaled(policies=policies)
    five = batch(*policies)
    with executor.open(five, entering=range(5)) as run:
        assert states(executor, five) == [SlotState.RESERVED] * 4 + [SlotState.RUNNING]
        assert [run.call(i, lambda: "done") for i in range(5)] == ["done"] * 5
    assert [mark.index for mark in given[0].starts] == [4]
    assert states(executor, five) == [SlotState.SUCCEEDED] * 5


def test_a_batch_that_is_there_gets_no_marks(world: World) -> None:
    world.executor().run_all(TWO, {"pay": world.tool("pay")})
    before = process_pool().running
    with world.executor().open(TWO, entering=(0, 1)) as run:
        assert process_pool().running == before
        assert run.call(0, lambda: "again") == "pay[('i', 0)]"


def test_a_process_that_dies_before_it_enters_them_leaves_them_unknown(world: World) -> None:
    dying = world.executor().open(TWO, entering=(0,))
    dying.__enter__()
    world.crash()
    dying.release()  # it can write nothing any more; in this process its permit must go
    with world.executor(policies=ASK).open(TWO) as run:
        with pytest.raises(UnknownOutcome):
            run.call(0, lambda: "paid")
        assert run.call(1, lambda: "paid") == "paid"


def test_a_drain_takes_the_marks_back() -> None:
    executor, _ = journaled()
    with executor.open(TWO, entering=(0,)) as run:
        executor.drain(0)
        with pytest.raises(Draining):
            run.call(0, lambda: "paid")
    assert states(executor) == [SlotState.RESERVED] * 2


def test_an_opener_that_is_cancelled_while_it_reserves_takes_its_marks_back_before_it_is_gone() -> None:
    journal = OddJournal()
    held = Held(lambda operation: isinstance(operation, Reserve))
    journal.after = held
    executor = DurableExecutor(journal, hooks=[])
    before = process_pool().running

    async def cancelled() -> None:
        task = asyncio.ensure_future(executor.open(TWO, entering=(0, 1)).__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert len(held) == 1
    record = journal.load(TWO.key).result()
    assert record is not None
    owner = record.fence.owner
    assert state_of(journal, owner) is OwnerState.ALIVE, "it has something to write"
    assert process_pool().running == before
    held.let_go()
    assert states(executor) == [SlotState.RESERVED] * 2
    assert state_of(journal, owner) is OwnerState.DEAD


@both
def test_an_answer_does_not_leave_before_its_record(run: Callable[..., Any]) -> None:
    journal = OddJournal()
    held = Held(lambda operation: writes(operation, Finished))
    journal.after = held
    executor = DurableExecutor(journal, hooks=[])
    got: list[Any] = []
    with running(lambda: got.append(run(executor, TWO, {"pay": lambda i: i}))):
        while len(held) < 2:
            threading.Event().wait(0.001)
        assert got == []
        held.let_go()
    assert got == [[0, 1]]


@both
def test_a_record_that_the_journal_refuses_is_the_outcome_of_its_call_alone_and_is_tried_again(
    run: Callable[..., Any],
) -> None:
    journal = OddJournal()

    def refuse_second(operation: Any) -> BaseException | None:
        second = isinstance(operation, Append) and operation.row.index == 1
        return JournalError("no room") if second and writes(operation, Finished) else None

    journal.before = refuse_second
    executor = DurableExecutor(journal, hooks=[])
    entered: list[int] = []

    def pay(i: int) -> str:
        entered.append(i)
        return f"paid {i}"

    first, second = run(executor, TWO, {"pay": pay}, return_exceptions=True)
    assert first == "paid 0"
    assert isinstance(second, JournalError)
    journal.before = lambda _: None
    assert run(executor, TWO, {"pay": pay}) == ["paid 0", "paid 1"]
    assert sorted(entered) == [0, 1]


def test_a_batch_whose_answers_are_still_held_is_not_closed() -> None:
    executor, _ = journaled()
    with executor.open(TWO) as run:
        run.call(0, lambda: "paid", held=True)
        run.call(1, lambda: "paid", held=True)
    record = executor.journal.load(TWO.key).result(5)
    assert record is not None
    assert not record.fence.closed
    with executor.open(TWO) as run:
        run.call(0, lambda: "again")
        run.call(1, lambda: "again")
    record = executor.journal.load(TWO.key).result(5)
    assert record is not None
    assert record.fence.closed


def test_answers_that_are_held_close_the_batch_once_they_are_recorded(tmp_path: Path) -> None:
    with open_journal(tmp_path / "journal") as journal:
        executor = DurableExecutor(journal, hooks=[])
        with executor.open(TWO) as run:
            for index in (0, 1):
                assert run.call(index, lambda: "paid", held=True) == "paid"
            assert run.record_held() == {}
        record = journal.load(TWO.key).result(5)
        assert record is not None
        assert record.fence.closed


def test_a_hook_that_hears_of_ends_hears_of_each_as_soon_as_it_is_recorded(world: World) -> None:
    told = threading.Event()

    def pay(i: int) -> str:
        if i == 1:
            assert told.wait(20), "the first one's end is told while this one runs"
        return "paid"

    def hook(event: Any) -> None:
        if getattr(event, "kind", None) is not None and event.kind.value == "finished" and event.index == 0:
            told.set()

    assert world.executor(hooks=[hook]).run_all(TWO, {"pay": pay}) == ["paid", "paid"]
