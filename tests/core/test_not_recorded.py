"""Calls of tools with `record=False`: a place in the batch, limits and events; nothing is stored, and they run again on resume."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tenacity

from support.harness import Peak, World, batch, both
from toolslot import (
    Batch,
    BatchEvent,
    BatchKey,
    BatchRecord,
    Call,
    CallEvent,
    CallTimedOut,
    Done,
    DurableExecutor,
    InvalidSetting,
    MemoryJournal,
    Retry,
    SlotState,
    ToolPolicy,
)
from toolslot.journal import open_journal

SECRET = "a-secret-of-the-model"
NOT = ToolPolicy(record=False)
TWO = batch("look", "pay")


def record_of(world: World) -> BatchRecord:
    found = world.journals[-1].load(TWO.key).result()
    assert found is not None
    return found


def run_two(world: World, run: Any, policy: ToolPolicy = NOT) -> Any:
    tools = {name: world.tool(name) for name in ("look", "pay")}
    return run(world.executor(policies={"look": policy}), TWO, tools)


@both
def test_it_runs_again_on_resume_and_its_siblings_replay(world: World, run: Any) -> None:
    assert run_two(world, run) == run_two(world, run)
    assert sorted(world.effects) == ["look", "look", "pay"]


@pytest.mark.parametrize("policy", [NOT, ToolPolicy(record=False, idempotent=True)])
def test_neither_arguments_nor_result_nor_error_are_in_the_journal(
    tmp_path: Path, policy: ToolPolicy
) -> None:
    calls = [Call(tool=tool, args={"word": SECRET}) for tool in ("look", "fail", "pay")]

    def fail(word: str) -> str:
        raise LookupError(word)

    tools = {"look": lambda word: word * 3, "fail": fail, "pay": lambda word: "paid"}
    with open_journal(tmp_path / "journal") as journal:
        executor = DurableExecutor(journal, policies={"look": policy, "fail": policy}, hooks=[])
        three = Batch(run_id="r", batch_id="b", calls=calls)
        outcomes = executor.run_all(three, tools, return_exceptions=True)
        history = journal.history(BatchKey("r", "b")).result()
    assert outcomes[0] == SECRET * 3
    assert isinstance(outcomes[1], LookupError)
    assert history is not None
    assert [len(rows) for rows in history.rows] == [0, 0, 2]
    stored = b"".join(path.read_bytes() for path in (tmp_path / "journal").rglob("*") if path.is_file())
    with open_journal(tmp_path / "all") as journal:
        DurableExecutor(journal, hooks=[]).run_all(three, tools, return_exceptions=True)
    everything = b"".join(path.read_bytes() for path in (tmp_path / "all").rglob("*") if path.is_file())
    of_one = stored.count(SECRET.encode())
    assert 0 < of_one < everything.count(SECRET.encode()) / 3, "those of the call that is recorded alone"


def test_it_counts_as_settled_and_runs_in_the_closed_batch_too(world: World) -> None:
    def run(executor: DurableExecutor, *args: Any) -> Any:
        return executor.run_all(*args)

    run_two(world, run)
    found = record_of(world)
    assert (found.fence.closed, found.settled) == (True, True)
    assert [slot.state for slot in found.slots] == [SlotState.RESERVED, SlotState.SUCCEEDED]
    run_two(world, run)
    assert world.effects.count("look") == 2


def test_a_batch_that_is_entered_call_by_call_closes_without_a_record_of_it(world: World) -> None:
    executor = world.executor(policies={"look": NOT})
    for index, tool in enumerate(("look", "pay")):
        with executor.open(TWO, partial=True) as run:
            assert run.call(index, partial(str, tool)) == tool
    assert record_of(world).fence.closed


def test_it_keeps_its_limit_its_retries_and_its_events() -> None:
    peak, tries, events = Peak(), list[int](), list[CallEvent]()

    def look(i: int) -> int:
        with peak:
            tries.append(i)
            if tries.count(i) == 1:
                raise ConnectionError
            return i

    ends: list[BatchEvent] = []

    def hook(event: object) -> None:
        if isinstance(event, CallEvent):
            events.append(event)
        elif isinstance(event, BatchEvent):
            ends.append(event)

    retry = Retry(stop=tenacity.stop_after_attempt(2), wait=tenacity.wait_none())
    policy = ToolPolicy(record=False, max_parallel=1, retry=retry)
    executor = DurableExecutor(MemoryJournal(), policies={"look": policy}, hooks=[hook])
    assert executor.run_all(batch("look", "look", "look"), {"look": look}) == [0, 1, 2]
    assert (peak.peak, len(tries)) == (1, 6)
    assert [(e.kind.value, e.state.value, e.attempt) for e in events if e.index == 1] == [
        ("reserved", "reserved", 0),
        ("started", "running", 1),
        ("failed", "failed", 1),
        ("started", "running", 2),
        ("finished", "succeeded", 2),
    ]
    assert [call.state for end in ends for call in end.calls] == [SlotState.SUCCEEDED] * 3


def test_a_timeout_is_told_and_it_runs_again(world: World) -> None:
    async def look(i: int) -> None:
        world.effects.append("look")
        await asyncio.Event().wait()

    policies = {"look": ToolPolicy(record=False, timeout=0.01)}
    for _ in range(2):
        with pytest.raises(CallTimedOut):
            asyncio.run(world.executor(policies=policies).arun_all(batch("look"), {"look": look}))
    assert world.effects == ["look", "look"]


def test_two_entrants_share_one_attempt_and_its_answer() -> None:
    made: list[object] = []

    async def look() -> object:
        await asyncio.sleep(0)
        made.append(object())
        return made[-1]

    async def main() -> list[object]:
        executor = DurableExecutor(MemoryJournal(), policies={"look": NOT}, hooks=[])
        async with executor.open(batch("look")) as run:
            return [
                *await asyncio.gather(run.acall(0, look), run.acall(0, look)),
                await run.acall(0, look),
            ]

    assert asyncio.run(main()) == made * 3


@both
def test_a_deploy_that_ceases_to_record_replays_what_is_recorded(world: World, run: Any) -> None:
    assert run_two(world, run, ToolPolicy()) == run_two(world, run)
    assert sorted(world.effects) == ["look", "pay"]


@both
def test_a_deploy_that_begins_to_record_does_so_in_open_batches(world: World, run: Any) -> None:
    run_two(world, run)
    run_two(world, run, ToolPolicy())
    assert record_of(world).slots[0].version == 0, "its batch is closed"
    with world.executor(policies={"look": NOT}).open(batch("look", key="open")):
        pass
    for _ in range(2):
        run(world.executor(), batch("look", key="open"), {"look": world.tool("look")})
    assert world.effects.count("look") == 3


@pytest.mark.parametrize(
    "more",
    [
        {"on_unknown": "ask"},
        {"on_unknown": "fail"},
        {"reconcile": lambda slot: Done()},
        {"on_failed": "replay"},
        {"codec": object()},
    ],
)
def test_what_asks_or_hands_out_again_is_refused_beside_it(more: Any) -> None:
    with pytest.raises(InvalidSetting, match="record=False"):
        ToolPolicy(record=False, **more)
    assert not ToolPolicy(record=False, idempotent=True, on_resume="rerun", on_unknown="rerun").record
