"""A bank whose calls hang in the first life of an agent, and the questions that the next life asks about them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from langchain_core.tools import tool

from toolslot import Done, EventKind, Failed, NotDone, ToolPolicy


class Bank:
    """A tool that pays. In the first life calls 1 and 2 hang after they have paid."""

    def __init__(self, talk: Any, hang: set[int] | None = None, count: int = 4) -> None:
        self.talk = talk
        self.paid: list[int] = []
        self.hang = {1, 2} if hang is None else hang
        self.inside = threading.Semaphore(0)
        self.release = threading.Event()
        bank = self

        def pay(i: int) -> str:
            """Pays."""
            if bank._pays(i):
                bank.release.wait(20)
            return f"paid {i}"

        async def apay(i: int) -> str:
            """Pays."""
            if bank._pays(i):
                await asyncio.to_thread(bank.release.wait, 20)
            return f"paid {i}"

        talk.calls = [
            {"name": "pay", "args": {"i": i, "secret": "s3cr3t"}, "id": f"c{i}"} for i in range(count)
        ]
        self.tool = tool("pay")(apay if talk.asynchronous else pay)

    def _pays(self, i: int) -> bool:
        self.paid.append(i)
        if i in self.hang:
            self.inside.release()
            return True
        return False

    @contextlib.contextmanager
    def dead(self, **settings: Any) -> Iterator[None]:
        """The first life, which ends while calls hang; its threads end with the block."""
        graph = self.talk.graph([self.tool], **settings)

        def life() -> None:
            with contextlib.suppress(Exception):
                self.talk.start(graph)

        thread = threading.Thread(target=life)
        thread.start()
        for _ in self.hang:
            assert self.inside.acquire(timeout=10)
        settled = len(self.talk.calls) - len(self.hang)
        while len(self.talk.world.events.calls(EventKind.FINISHED)) < settled:
            pass
        self.talk.crash()
        self.hang = set()
        try:
            yield
        finally:
            self.release.set()
            thread.join(20)


def questions(outcome: Any) -> dict[str, Any]:
    (shown,) = outcome["__interrupt__"]
    assert shown.value["type"] == "toolslot.unknown_outcome"
    return shown.value  # type: ignore[no-any-return]


ASK: dict[str, Any] = {"policies": {"pay": ToolPolicy(on_unknown="ask")}}
FAIL: dict[str, Any] = {"policies": {"pay": ToolPolicy(on_unknown="fail")}}


def asked(talk: Any, bank: Bank) -> tuple[Any, list[str]]:
    """A graph that has asked, and the ids of its questions."""
    graph = talk.graph([bank.tool], **ASK)
    return graph, [question["id"] for question in questions(talk.resume(graph))["questions"]]


def decide(talk: Any, index: int, answer: Any) -> None:
    """As an operator would from another process."""
    from toolslot.journal import MemoryJournal

    (state,) = talk.world.store.batches.values()
    _decide(MemoryJournal(talk.world.store), state, index, answer)


def _decide(journal: Any, state: Any, index: int, answer: Any) -> None:
    from toolslot import ToolFailed
    from toolslot._codec import encode, encode_error
    from toolslot._domain._slot import Verdict
    from toolslot.journal import Decide
    from toolslot_langgraph import LangGraphCodec

    verdict = {Done: Verdict.DONE, NotDone: Verdict.RERUN, Failed: Verdict.FAILED}[type(answer)]
    outcome = encode(answer.value, LangGraphCodec()) if isinstance(answer, Done) else None
    error = encode_error(ToolFailed(answer.error)) if isinstance(answer, Failed) else None
    slot = state.slot(index)
    operation = Decide(
        key=state.key,
        index=index,
        verdict=verdict,
        by="desk",
        why="test",
        decision_id=f"d{index}",
        version=slot.version,
        at=1.0,
        outcome=outcome,
        error=error,
    )
    journal.submit(operation).result()
