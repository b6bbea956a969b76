"""What the tests of the core share: batches, recording hooks, and two ways to die without dying."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from toolslot import Batch, Call, CallEvent, DurableExecutor, EventKind, MemoryJournal
from toolslot._domain._events import Event
from toolslot.journal import MemoryStore


def batch(
    *tools: str,
    run: str = "run-1",
    key: str = "b-1",
    args: dict[str, Any] | None = None,
    lineage: str | None = None,
) -> Batch:
    """Calls to these tools, each with its index as argument."""
    calls = tuple(
        Call(tool=tool, args=args if args is not None else {"i": i}, call_id=f"c{i}")
        for i, tool in enumerate(tools)
    )
    return Batch(run_id=run, batch_id=key, calls=calls, lineage=lineage)


@dataclass
class Events:
    """A hook that keeps what it is told."""

    all: list[Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> None:
        with self.lock:
            self.all.append(event)

    def kinds(self, index: int | None = None) -> list[EventKind]:
        return [e.kind for e in self.all if isinstance(e, CallEvent) and index in (None, e.index)]

    def calls(self, kind: EventKind) -> list[CallEvent]:
        return [e for e in self.all if isinstance(e, CallEvent) and e.kind is kind]


@dataclass
class World:
    """One store, and one process start after the other working on it. `executor()` begins a new one; `crash()` ends the last."""

    store: MemoryStore = field(default_factory=MemoryStore)
    journals: list[MemoryJournal] = field(default_factory=list)
    events: Events = field(default_factory=Events)
    effects: list[str] = field(default_factory=list)

    def executor(self, **settings: Any) -> DurableExecutor:
        journal = MemoryJournal(self.store)
        self.journals.append(journal)
        settings.setdefault("hooks", [self.events])
        return DurableExecutor(journal, **settings)

    def crash(self) -> None:
        """The last process start is gone: whatever it held is held by a dead owner, and it can write no more."""
        self.journals[-1].close()

    def tool(self, name: str, value: Any = None) -> Callable[..., Any]:
        """A tool that notes its effect and returns `value`, or its name and arguments."""

        def fn(**args: Any) -> Any:
            self.effects.append(name)
            return value if value is not None else f"{name}{sorted(args.items())}"

        return fn


def square(i: int) -> tuple[int, int]:
    """A tool that another process can import, and that tells where it ran."""
    return i * i, os.getpid()


@contextmanager
def running(fn: Callable[[], Any]) -> Iterator[threading.Thread]:
    """`fn` in a thread, joined at the end."""
    thread = threading.Thread(target=fn)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(10)
        assert not thread.is_alive()


class Killed(BaseException):
    """What a process that dies inside a tool looks like from inside: nothing after it runs."""


def die_inside(world: World, executor: DurableExecutor, index: int = 0, **kwargs: Any) -> None:
    """Enter call `index` so that its start mark is durable and its code entered, and end the process there."""
    run = executor.open(batch(*["pay"] * (index + 1), **kwargs))
    run.__enter__()

    def fn() -> str:
        world.effects.append("pay")
        world.crash()  # from here on this process can write nothing
        raise Killed

    with pytest.raises(Killed):
        run.call(index, fn)


def run_sync(executor: DurableExecutor, b: Any, tools: Any, **kwargs: Any) -> list[Any]:
    return executor.run_all(b, tools, **kwargs)


def run_async(executor: DurableExecutor, b: Any, tools: Any, **kwargs: Any) -> list[Any]:
    return asyncio.run(executor.arun_all(b, tools, **kwargs))


both = pytest.mark.parametrize("run", [run_sync, run_async])


class Peak:
    """How many run at once, at most."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.peak = 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.peak = max(self.peak, self.now)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1
