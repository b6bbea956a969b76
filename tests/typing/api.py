"""The public API as a type checker sees it.

Never run: `make types` reads it with mypy and pyright, both strict. Each function is what a user may write.
"""

from __future__ import annotations

from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tenacity
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from typing_extensions import assert_never, assert_type

import toolslot
from toolslot import (
    Batch,
    BatchEvent,
    BatchKey,
    Call,
    CallEvent,
    CannotTell,
    Codec,
    DiskJournal,
    Done,
    DurableExecutor,
    Failed,
    Journal,
    Limits,
    MemoryJournal,
    NotDone,
    Rate,
    Retry,
    Slot,
    SlotState,
    StillRunning,
    ToolPolicy,
    UnknownOutcome,
    abandon,
    current_call,
    resolve,
    takeover,
)
from toolslot.hosting import (
    CallTask,
    EventStream,
    Notices,
    ajournal,
    executor_for,
    in_thread,
    quoted,
    read_answer,
)
from toolslot_langgraph import DurableParallelToolNode

assert_type(toolslot.__version__, str)


# --- policies ---


def find_out(slot: Slot) -> Done | Failed | NotDone | StillRunning | CannotTell:
    assert_type(slot.idempotency_key, str)
    assert_type(slot.attempt, int)
    match slot.args.get("answer"):
        case "done":
            return Done({"receipt": 1})
        case "failed":
            return Failed(ValueError("declined"))
        case "running":
            return StillRunning(retry_after=0.5)
        case "not done":
            return NotDone()
        case _:
            return CannotTell("the bank does not answer")


async def find_out_async(slot: Slot) -> Done | NotDone:
    return Done(slot.tool) if slot.started_at else NotDone()


def policies() -> dict[str, ToolPolicy]:
    return {
        "search": ToolPolicy(idempotent=True, timeout=5, retry=3, max_parallel=4, rate="5/s"),
        "book": ToolPolicy(reconcile=find_out_async, rate=Rate(5, per=1.0)),
        "pay": ToolPolicy(on_unknown="ask", reconcile=find_out, not_done=(ConnectionRefusedError,)),
        "mail": ToolPolicy(on_unknown="fail", on_failed="replay"),
        "load": ToolPolicy(on_resume="rerun", on_unknown="rerun"),
        "fetch": ToolPolicy(retry=Retry(stop=3, wait=0.5)),
        "poll": ToolPolicy(
            retry=Retry(
                stop=tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(10),
                wait=tenacity.wait_exponential(max=10) + tenacity.wait_random(0, 1),
                retry=tenacity.retry_if_exception_type(OSError),
            )
        ),
        "ask": ToolPolicy(retry=tenacity.Retrying(stop=tenacity.stop_after_attempt(3))),
    }


# --- plain code ---


def pay(account: str, amount: int) -> str:
    return f"{account} {amount} {assert_type(current_call().idempotency_key, str)}"


async def pay_async(account: str, amount: int) -> str:
    return pay(account, amount)


def batch() -> Batch:
    calls = [Call(tool="pay", args={"account": "a", "amount": 1}, call_id="c1"), Call(tool="pay")]
    return Batch(run_id="thread-1", batch_id="message-1", calls=calls)


def watch(event: CallEvent | BatchEvent) -> None:
    match event:
        case CallEvent():
            assert_type(event.state, SlotState)
        case BatchEvent():
            assert_type([call.latency for call in event.calls], list[float | None])
        case _:
            assert_never(event)


def journals() -> list[Journal]:
    with DiskJournal.open("./journal") as disk:
        return [disk, DiskJournal.open(Path("journal"), durability="process"), MemoryJournal()]


def executor(journal: Journal) -> DurableExecutor:
    DurableExecutor()
    DurableExecutor(Path("journal"))
    DurableExecutor("./journal", executor=ThreadPoolExecutor(2), on_mismatch="lenient")
    limits = Limits(batch=8, process=None, tools={"pay": 1}, batch_timeout=60)
    return DurableExecutor(journal, policies=policies(), limits=limits, hooks=[watch])


def all_at_once(durable: DurableExecutor) -> None:
    assert_type(durable.run_all(batch(), {"pay": pay}), list[Any])


def one_by_one(durable: DurableExecutor) -> None:
    with durable.open(batch()) as run:
        assert_type(run.call(0, lambda: pay("a", 1)), str)
        assert_type(run.slot(0).state, SlotState)
        try:
            run.call(1, lambda: pay("b", 2), is_error=lambda answer: answer.startswith("error"))
        except UnknownOutcome as unknown:
            run.decide(unknown.index, NotDone(), by="ada", why="no entry", version=unknown.version)


def from_outside(journal: Journal, unknown: UnknownOutcome) -> None:
    key = BatchKey(unknown.run_id, unknown.batch_id)
    slot = resolve(journal, key, unknown.index, Done(1), by="ada", why="receipt", version=unknown.version)
    assert_type(slot.state, SlotState)
    assert_type(takeover(journal, unknown.run_id, by="ada", why="stuck", force=True), tuple[BatchKey, ...])
    assert_type(
        abandon(journal, unknown.run_id, by="ada", why="superseded", batch_ids=["b"]), tuple[BatchKey, ...]
    )


async def one_by_one_async(durable: DurableExecutor) -> None:
    def coroutine() -> Awaitable[str]:
        return pay_async("a", 1)

    async with durable.open(batch()) as run:
        assert_type(await run.acall(0, coroutine), str)
        assert_type(await run.acall(1, lambda: pay_async("b", 2)), str)
    assert_type(await durable.arun_all(batch(), {"pay": pay_async}), list[Any])


# --- LangGraph ---


def graph(tools: list[BaseTool], journal: Journal) -> None:
    node: ToolNode = DurableParallelToolNode(tools)
    DurableParallelToolNode(
        [pay, pay_async],
        name="payments",
        handle_tool_errors=True,
        journal=journal,
        policies=policies(),
        default_policy=ToolPolicy(on_unknown="ask"),
        limits=Limits(batch=4),
        on_fork="rerun",
        hooks=[watch],
    )
    assert_type(list(node.tools_by_name), list[str])


# --- another framework ---


async def sync_tool_in_async_code(durable: DurableExecutor) -> None:
    async def code() -> str:
        return await in_thread(pay, "a", amount=1)

    task = CallTask()
    async with durable.open(batch()) as run:
        assert_type(await run.acall(0, code, offload=task), str)
    assert_type(task.gave_up, bool)


def answered(answer: object) -> Done | Failed | NotDone | str:
    assert_type(quoted("name"), str)
    return read_answer(answer)


async def host(stream: EventStream, codec: Codec, stops: type[BaseException]) -> None:
    durable = executor_for(
        "./journal",
        policies=policies(),
        default_policy=None,
        limits=Limits(),
        hooks=[watch],
        codec=codec,
        pauses=(stops,),
        stream=stream,
    )
    assert_type(durable, DurableExecutor)
    assert_type(await ajournal(durable), Journal)
    with stream.to(lambda data: assert_type(data, dict[str, Any]).clear()):
        Notices().once("a warning about %r", "a")
