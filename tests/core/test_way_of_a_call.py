"""How many functions of ours run for one call that is started and recorded on the disk journal."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from support.harness import batch
from toolslot import BatchRun, DurableExecutor, Limits, MemoryJournal
from toolslot._batch._pool import process_pool
from toolslot._batch._steps import perform
from toolslot.journal import open_journal

#: at most so many on the thread of the caller and, for its two commits, on that of the writer
CALLER, WRITER = {"sync": 90, "async": 101}, 130


class Counted:
    """The functions of toolslot that were entered or resumed, by thread; what records generate for themselves included."""

    def __init__(self) -> None:
        self.caller, self.writer = Counter[str](), Counter[str]()
        self.on = False
        self._here = threading.get_ident()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if self.on and event == "call" and module.partition(".")[0] == "toolslot":
            name = frame.f_code.co_name
            here = threading.get_ident() == self._here
            (self.caller if here else self.writer)[f"{module}.{name}"] += 1

    @contextmanager
    def counting(self) -> Generator[None]:
        sys.setprofile(self)
        self.on = True
        try:
            yield
        finally:
            self.on = False
            sys.setprofile(None)


def count(tmp_path: Path, door: str) -> tuple[Counter[str], Counter[str]]:
    """Of several calls the least on each side.

    A callback runs on the side of the caller where the commit is quicker than it. And the first call loads what later ones find.
    """
    counted, found = Counted(), list[tuple[Counter[str], Counter[str]]]()
    threading.setprofile(counted)  # the writer's thread begins with the journal
    try:
        with open_journal(tmp_path / "journal") as journal:
            executor = DurableExecutor(journal, hooks=[])
            for turn in range(9):
                counted.caller, counted.writer = Counter(), Counter()
                if door == "sync":
                    with executor.open(batch("pay", key=f"{turn}")) as run, counted.counting():
                        assert run.call(0, lambda: "paid") == "paid"
                else:
                    asyncio.run(acall(executor, f"{turn}", counted))
                found.append((counted.caller, counted.writer))
    finally:
        threading.setprofile(None)
    callers, writers = zip(*found, strict=True)
    return min(callers, key=Counter.total), min(writers, key=Counter.total)


async def acall(executor: DurableExecutor, name: str, counted: Counted) -> None:
    async def pay() -> str:
        return "paid"

    async with executor.open(batch("pay", key=name)) as run:
        with counted.counting():
            assert await run.acall(0, pay) == "paid"


@pytest.mark.parametrize("door", ["sync", "async"])
def test_a_call_takes_a_short_way(tmp_path: Path, door: str) -> None:
    callers, writers = count(tmp_path, door)
    caller, writer = callers.total(), writers.total()
    found = f"{door}: {caller} on the caller (aim: 90), {writer} on the writer (aim: 130). Most often:"
    told = [found, *(f"{n} {name}" for name, n in (callers + writers).most_common(20))]
    assert min(caller, writer) > 20, "nothing was counted"
    assert caller <= CALLER[door], "\n  ".join(told)
    assert writer <= WRITER, "\n  ".join(told)


def way(run: BatchRun, index: int) -> tuple[list[str], int]:
    """What a call's generator asks its driver for, one after the other; and how deep the deepest of them was asked for."""
    steps: Any = run._entry(index, lambda: "paid", None, None, False, False).steps()
    asked, deepest, answer = list[str](), 0, None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as stop:
            assert stop.value == "paid"
            return asked, deepest
        depth, inner = 1, steps
        while (inner := inner.gi_yieldfrom) is not None:
            depth += 1
        asked.append(type(step).__name__)
        deepest = max(deepest, depth)
        answer = perform(step)


def test_a_call_waits_for_its_start_mark_its_code_and_its_record_and_for_a_permit_where_there_is_none() -> (
    None
):
    executor = DurableExecutor(MemoryJournal(), limits=Limits(batch=1), hooks=[])
    with executor.open(batch("pay", "pay")) as run:
        assert way(run, 0) == (["Future", "Invoke", "Future"], 2)

        asked: list[Any] = []
        thread = threading.Thread(target=lambda: asked.append(way(run, 1)))
        blocked = process_pool().at_once(run._opened.demand("pay"))
        assert blocked is not None
        thread.start()
        while not process_pool()._queues:
            pass
        process_pool().release(blocked)
        thread.join(10)
    assert asked == [(["Acquire", "Future", "Invoke", "Future"], 2)]


def test_a_call_whose_mark_came_with_the_reservation_waits_for_its_code_and_its_record() -> None:
    with DurableExecutor(MemoryJournal(), hooks=[]).open(batch("pay"), entering=(0,)) as run:
        assert way(run, 0) == (["Invoke", "Future"], 2)
