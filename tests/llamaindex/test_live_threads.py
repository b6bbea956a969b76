"""Sync tools whose threads outlive the run: the same run, taken up at once in the same process, waits for them and takes their results."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.tools import FunctionTool

from support.outliving import POLICIES, Payment, told, until, waited_for
from toolslot import BatchBusy, BatchKey, Limits
from toolslot.journal import DiskJournal
from toolslot_llamaindex import durable

SOON = 0.4
CAUSES = ("handler cancelled", "caller cancelled", "workflow timeout")
CASES = [
    (agent, cause, POLICIES[(i + 2 * j + k) % len(POLICIES)])
    for i, agent in enumerate(("function", "workflow"))
    for j, cause in enumerate(CAUSES)
    for k in (0, 1)
]


class Scene:
    """One process: agents of their own over one journal on disk."""

    def __init__(self, talk: Any, root: Path, payment: Payment) -> None:
        self.talk, self.root, self.payment = talk, root / "journal", payment
        self.opened: list[DiskJournal] = []
        self.journal = self.open()
        self.mailed = 0

    def open(self) -> DiskJournal:
        self.opened.append(DiskJournal.open(self.root))
        return self.opened[-1]

    def agent(self, kind: str, policy: str, cause: str = "", busy_timeout: float = 20) -> Any:
        def pay(i: int) -> str:
            """Pays."""
            return self.payment.pay()

        async def mail(i: int) -> str:
            """Mails; the first does not come to an end."""
            self.mailed += 1
            if self.mailed == 1:
                await asyncio.Event().wait()
            return "mailed"

        tools = [FunctionTool.from_defaults(fn=pay), FunctionTool.from_defaults(async_fn=mail)]
        agent: Any = FunctionAgent(name="payer", description="Pays.", tools=tools, llm=self.talk.llm)
        timeout = SOON if cause == "workflow timeout" else None
        if kind == "workflow":
            agent = AgentWorkflow([agent], timeout=timeout)
        else:
            agent = FunctionAgent(tools=tools, llm=self.talk.llm, timeout=timeout)
        policies = {"pay": self.payment.policy(policy, timeout=SOON if cause == "call timeout" else None)}
        limits = Limits(busy_timeout=busy_timeout)
        return durable(agent, journal=self.open(), policies=policies, limits=limits, hooks=[])

    def begin(self, agent: Any) -> tuple[Any, asyncio.Task[Any]]:
        handler = agent.run(user_msg="go", run_id="r-1")

        async def caller() -> Any:
            return await handler

        return handler, asyncio.ensure_future(caller())

    async def left(self, kind: str, policy: str, cause: str) -> None:
        """A run that has ended while its tool is inside its thread."""
        handler, run = self.begin(self.agent(kind, policy, cause))
        await told(self.payment.inside)
        if cause == "caller cancelled":
            run.cancel()
        if cause == "call timeout":
            key = BatchKey("r-1", "turn-0")
            await until(lambda: self.journal.load(key).result().slots[0].delivered)  # type: ignore[union-attr]
        if cause != "workflow timeout":
            with suppress(Exception, asyncio.CancelledError):
                await handler.cancel_run()
        await asyncio.wait((run,))
        assert run.cancelled() or run.exception() is not None

    async def joined(self, run: asyncio.Future[Any]) -> None:
        await until(lambda: waited_for(self.journal) or run.done() or self.payment.began > 1)


@pytest.fixture
def scene(talk: Any, tmp_path: Path) -> Any:
    talk.script([("pay", {"i": 0})], "done")
    scene = Scene(talk, tmp_path, Payment())
    yield scene
    scene.payment.go_on.set()
    for journal in scene.opened:
        journal.close()


def play(scene: Scene, course: Any) -> Any:
    async def main() -> Any:
        try:
            return await course()
        finally:
            scene.payment.go_on.set()

    return asyncio.run(main())


@pytest.mark.parametrize(("kind", "cause", "policy"), CASES)
def test_a_run_taken_up_at_once_waits_for_the_thread_and_takes_its_result(
    scene: Scene, kind: str, cause: str, policy: str
) -> None:
    async def course() -> str:
        await scene.left(kind, policy, cause)
        _, run = scene.begin(scene.agent(kind, policy))
        await scene.joined(run)
        scene.payment.go_on.set()
        return str(await run)

    assert play(scene, course) == "done"
    assert scene.payment.settled_once == (1, 1, 0)
    assert scene.talk.heard() == ["paid by thread 1"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_timeout_that_one_run_was_told_gives_way_to_the_result_for_the_next(
    scene: Scene, policy: str
) -> None:
    """The turn is still open: another of its calls was under way when the run ended."""
    scene.talk.script([("pay", {"i": 0}), ("mail", {"i": 0})], "done")

    async def course() -> str:
        await scene.left("function", policy, "call timeout")
        _, run = scene.begin(scene.agent("function", policy))
        await scene.joined(run)
        scene.payment.go_on.set()
        return str(await run)

    assert play(scene, course) == "done"
    assert scene.payment.settled_once == (1, 1, 0)
    assert scene.talk.heard() == ["paid by thread 1", "mailed"]


def test_a_thread_that_does_not_end_stops_the_run_with_batch_busy(scene: Scene) -> None:
    async def course() -> None:
        await scene.left("function", "reconciler", "handler cancelled")
        _, run = scene.begin(scene.agent("function", "reconciler", busy_timeout=0.1))
        with pytest.raises(BatchBusy, match="still runs in this process"):
            await run

    play(scene, course)
    assert scene.payment.over.wait(10)
    assert scene.payment.settled_once == (1, 1, 0)
