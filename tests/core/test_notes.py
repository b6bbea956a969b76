"""What a running call says of itself: durable when it is said, and there for whoever settles the call."""

from __future__ import annotations

import asyncio
import pickle
import threading
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import pytest

from support.harness import Killed, World, batch, both
from toolslot import (
    Batch,
    Call,
    CallEvent,
    DurableExecutor,
    EventKind,
    Fenced,
    InvalidArguments,
    MemoryJournal,
    NotDone,
    NotStorable,
    Slot,
    ToolPolicy,
    UnknownOutcome,
    current_call,
)
from toolslot._domain._slot import MOST_NOTES

ONE = batch("order")


def said(slot: Slot) -> list[tuple[str, str, int]]:
    return [(note.text, note.ref, note.attempt) for note in slot.notes]


def dies_after(world: World, note: Any) -> Any:
    """A process that dies inside its call once `note()` was written; what it left in the journal is there."""

    def order(i: int) -> str:
        note()
        world.crash()
        raise Killed

    return order


@pytest.mark.parametrize("idempotent", [False, True])
def test_it_is_durable_when_note_returns_and_the_reconciler_finds_it(world: World, idempotent: bool) -> None:
    def note() -> None:
        current_call().note("order placed", ref="4711")

    policy = ToolPolicy(idempotent=True) if idempotent else ToolPolicy(on_unknown="ask")
    with pytest.raises(Killed):
        world.executor(policies={"order": policy}).run_all(ONE, {"order": dies_after(world, note)})
    found: list[Slot] = []

    def reconcile(slot: Slot) -> NotDone:
        found.append(slot)
        return NotDone()

    later = world.executor(policies={"order": ToolPolicy(reconcile=reconcile)})
    assert later.run_all(ONE, {"order": lambda i: "made"}) == ["made"]
    assert [said(slot) for slot in found] == [[("order placed", "4711", 1)]]


def test_a_person_who_is_asked_sees_it(world: World) -> None:
    def note() -> None:
        current_call().note("order placed", ref="4711")

    policies = {"order": ToolPolicy(on_unknown="ask")}
    with pytest.raises(Killed):
        world.executor(policies=policies).run_all(ONE, {"order": dies_after(world, note)})
    with world.executor(policies=policies).open(ONE) as run:
        with pytest.raises(UnknownOutcome):
            run.call(0, lambda: "again")
        assert said(run.view(0)) == [("order placed", "4711", 1)]


@both
def test_the_notes_of_all_attempts_are_there_in_order_and_of_many_the_newest(world: World, run: Any) -> None:
    tries: list[int] = []

    async def aorder(i: int) -> str:
        tries.append(i)
        for number in range(MOST_NOTES):
            await current_call().anote(f"{len(tries)}.{number}")
        if len(tries) == 1:
            raise ConnectionError
        return "made"

    def order(i: int) -> str:
        return asyncio.run(aorder(i))

    executor = world.executor(policies={"order": ToolPolicy(retry=2, not_done=ConnectionError)})
    code = order if run.__name__ == "run_sync" else aorder
    with executor.open(ONE):
        assert run(executor, ONE, {"order": code}) == ["made"]
    slot = world.journals[-1].load(ONE.key).result()
    assert slot is not None
    assert slot.slots[0].version == 2 * MOST_NOTES + 4
    with world.executor().open(ONE) as again:
        notes = again.view(0).notes
    assert [(note.attempt, note.text) for note in notes] == [(2, f"2.{n}") for n in range(MOST_NOTES)]
    assert [note.at for note in notes] == sorted(note.at for note in notes)


def test_hooks_hear_it_once_it_is_recorded_and_the_tool_goes_on_after_that() -> None:
    heard: list[tuple[str, str]] = []

    def hook(event: object) -> None:
        if isinstance(event, CallEvent):
            heard.append((event.kind.value, event.detail))

    def order(i: int) -> str:
        current_call().note("order\nplaced", ref="4711")
        assert heard[-1] == (EventKind.NOTED.value, "order\\nplaced [4711]")
        return "made"

    DurableExecutor(MemoryJournal(), hooks=[hook]).run_all(ONE, {"order": order})
    assert [kind for kind, _ in heard] == ["reserved", "started", "noted", "finished"]


def test_what_is_too_long_is_cut_and_what_is_no_text_is_refused(world: World) -> None:
    def order(i: int) -> str:
        current_call().note("a" * 5000, ref="b" * 5000)
        with pytest.raises(InvalidArguments, match=r"ref=\.\.\.\) got a int"):
            current_call().note("order", ref=4711)  # type: ignore[arg-type]
        return "made"

    executor = world.executor()
    executor.run_all(ONE, {"order": order})
    with executor.open(ONE) as run:
        (note,) = run.view(0).notes
    assert (len(note.text), len(note.ref), note.text[-1]) == (2000, 500, "\u2026")


def test_at_the_thousandth_note_of_a_call_writing_ends(world: World) -> None:
    def order(i: int) -> str:
        for number in range(1000):
            current_call().note(str(number))
        with pytest.raises(NotStorable, match="1000 notes"):
            current_call().note("one more")
        return "made"

    assert world.executor().run_all(ONE, {"order": order}) == ["made"]


def test_an_attempt_that_was_taken_over_hears_so(world: World) -> None:
    inside, go_on, heard = threading.Event(), threading.Event(), list[BaseException]()

    def order(i: int) -> str:
        inside.set()
        assert go_on.wait(10)
        try:
            current_call().note("too late")
        except Fenced as error:
            heard.append(error)
        return "late"

    policies = {"order": ToolPolicy(on_unknown="rerun")}
    first = world.executor(policies=policies)
    thread = threading.Thread(target=lambda: first.run_all(ONE, {"order": order}, return_exceptions=True))
    thread.start()
    assert inside.wait(10)
    with world.executor(policies=policies).open(ONE) as run:
        run.takeover(force=True, why="it is stuck")
        go_on.set()
        thread.join(10)
        assert [type(error) for error in heard] == [Fenced]
        assert run.view(0).notes == ()


def test_of_a_call_that_is_not_recorded_it_is_told_alone() -> None:
    told: list[str] = []

    def hook(event: object) -> None:
        if isinstance(event, CallEvent) and event.kind is EventKind.NOTED:
            told.append(event.detail)

    def look() -> str:
        current_call().note("a look", ref="1")
        return "seen"

    journal = MemoryJournal()
    executor = DurableExecutor(journal, policies={"look": ToolPolicy(record=False)}, hooks=[hook])
    executor.run_all(Batch(run_id="r", batch_id="b", calls=[Call(tool="look")]), {"look": look})
    (key,) = journal.keys().result()
    record = journal.load(key).result()
    assert record is not None
    assert (told, record.slots[0].version) == (["a look [1]"], 0)


def test_a_copy_of_the_context_writes_notes_too_and_one_of_another_process_does_not(world: World) -> None:
    def order(i: int) -> str:
        call = current_call()
        deepcopy(call).note("from a copy")
        assert asdict(call)["attempt"] == 1
        with pytest.raises(LookupError, match="another one"):
            pickle.loads(pickle.dumps(call)).note("from elsewhere")
        return pickle.loads(pickle.dumps(call)).idempotency_key

    executor = world.executor()
    (key,) = executor.run_all(ONE, {"order": order})
    with executor.open(ONE) as run:
        assert [note.text for note in run.view(0).notes] == ["from a copy"]
        assert run.view(0).idempotency_key == key
