"""A process that runs the calls with the core alone; also the one that resolves, and the one that purges."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import diskcache as _diskcache  # noqa: F401 - loaded before the fork

from crash.chaos.aside import purge_all, resolve_all
from crash.chaos.body import Body, Declined, Orders, Question, brief, failed
from crash.chaos.facts import Verb
from crash.chaos.plan import Kind
from toolslot import Batch, Call, DurableExecutor, ToolFailed
from toolslot._errors import EffectRefused

#: sync tools also where the others are async
THREADED = (Kind.SLOW, Kind.LARGE)


def batch_of(body: Body) -> Batch:
    """Of the run, or of another one that asks for the same effects."""
    elsewhere = body.orders.verb == "elsewhere"
    calls = [
        Call(tool=call.kind.value, args={"n": call.n}, call_id=call.call_id)
        for call in body.trial.presented(body.life)
        if call.kind is Kind.KEYED or not elsewhere
    ]
    return Batch(run_id="another run" if elsewhere else "run", batch_id="batch", calls=calls)


def tools_of(body: Body) -> dict[str, Any]:
    def tool(kind: Kind) -> Any:
        def run(n: int) -> str:
            return body.run(kind, n)

        async def arun(n: int) -> str:
            return await body.arun(kind, n)

        return run if body.trial.mode == "sync" or kind in THREADED else arun

    return {kind.value: tool(kind) for kind in Kind}


def executor_of(body: Body) -> DurableExecutor:
    return DurableExecutor(
        body.journal,
        policies=body.policies(),
        limits=body.limits(),
        hooks=[body.hook],
        pauses=(Question,),
        on_mismatch="lenient" if body.trial.changes else "strict",
    )


def outcomes(body: Body, executor: DurableExecutor) -> list[Any]:
    batch, tools = batch_of(body), tools_of(body)
    body.at_the_gate()
    if body.trial.mode == "sync":
        return executor.run_all(batch, tools, return_exceptions=True)
    return asyncio.run(executor.arun_all(batch, tools, return_exceptions=True))


def report(found: list[Any]) -> dict[str, Any]:
    answers: list[str] = []
    stops: list[dict[str, Any]] = []
    for outcome in found:
        if isinstance(outcome, (Declined, EffectRefused, ToolFailed)):
            answers.append(brief(str(outcome)))
        elif isinstance(outcome, BaseException):
            stops.append(failed(outcome))
        else:
            answers.append(brief(outcome))
    order = ("fenced", "again", "asks", "doubt")
    stops.sort(key=lambda stop: order.index(stop["status"]) if stop["status"] in order else -1)
    return stops[0] if stops else {"status": "done", "answers": answers}


def takeover(body: Body, executor: DurableExecutor) -> None:
    """Take the batch from an owner that is stopped, then wait until that one has gone on, and go on."""
    with executor.open(batch_of(body)) as run:
        run.takeover(force=True, why="its owner is stopped")
        body.note(Verb.TAKEOVER)
        print("TOOK", flush=True)
        while not (body.folder / "go").exists():
            time.sleep(0.01)
        body.tell(report(outcomes(body, executor)))


def main(argv: list[str]) -> None:
    orders = Orders.heard(argv[0])
    body = Body(orders)
    if orders.verb == "resolve":
        resolve_all(body)
    elif orders.verb == "purge":
        purge_all(body)
    elif orders.verb == "takeover":
        takeover(body, executor_of(body))
    else:
        print("BEGINS", flush=True)
        body.tell(report(outcomes(body, executor_of(body))))
