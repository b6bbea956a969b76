"""Threads that outlive the wait for them, and who waits for them again."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolslot import Done, NotDone, Slot, ToolPolicy
from toolslot._batch._registry import registry_of
from toolslot.journal import Journal

POLICIES = ("default", "reconciler", "ask", "fail", "idempotent")


class Payment:
    """The code of a tool: the first to enter stays inside until `go_on`. Its reconciler looks where a payment would be, and is right."""

    def __init__(self, raises: Exception | None = None) -> None:
        self.began = 0
        self.effects = 0
        self.asked = 0
        self.inside, self.go_on, self.over = threading.Event(), threading.Event(), threading.Event()
        self._raises = raises
        self._lock = threading.Lock()

    def pay(self) -> str:
        with self._lock:
            self.began += 1
            number = self.began
        try:
            if number == 1:
                self.inside.set()
                assert self.go_on.wait(20)
            with self._lock:
                self.effects += 1
            if self._raises is not None:
                raise self._raises
        finally:
            self.over.set()
        return f"paid by thread {number}"

    def policy(self, name: str, **settings: Any) -> ToolPolicy:
        if name == "reconciler":
            return ToolPolicy(reconcile=self._reconcile, **settings)
        if name in ("ask", "fail"):
            return ToolPolicy(on_unknown=name, **settings)  # type: ignore[arg-type]
        return ToolPolicy(idempotent=name == "idempotent", **settings)

    def _reconcile(self, slot: Slot) -> Done | NotDone:
        self.asked += 1
        return Done("paid, says the reconciler") if self.effects else NotDone()

    @property
    def settled_once(self) -> tuple[int, int, int]:
        """How often it began, had its effect, and was asked about."""
        return self.began, self.effects, self.asked


async def told(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 20)


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)


def waited_for(journal: Journal) -> bool:
    """Whether somebody waits for a call that is under way."""
    live = list(registry_of(journal)._live.values())
    return any(active._done is not None for batch in live for active in batch.running())


def pay_in_a_process(inside: str, go_on: str, effects: str) -> str:
    """A tool that another process can import: it tells by a named pipe which process it is in, and waits for another."""
    Path(inside).write_text(str(os.getpid()))
    Path(go_on).read_text()
    with Path(effects).open("a") as file:
        file.write("paid\n")
    return "paid"
