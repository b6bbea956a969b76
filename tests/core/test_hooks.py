"""Hooks: what they may do beside hearing events, and that nothing they do touches the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from support.harness import World, batch, both
from toolslot import BatchEvent, BatchKey, CallEvent, RunPurged
from toolslot.journal import Purge

inside: ContextVar[str] = ContextVar("inside", default="")


class Attending:
    """Notes everything, and is around every attempt."""

    def __init__(self) -> None:
        self.noted: list[Any] = []

    def opening(self, key: BatchKey, adapter: str, at: float) -> str:
        self.noted.append(("opening", key.batch_id, adapter))
        return "my trace"

    def opened(self, asked: BatchKey, found: BatchKey | None, at: float) -> None:
        self.noted.append(("opened", found and found.batch_id))

    @contextmanager
    def running(self, started: CallEvent) -> Iterator[None]:
        self.noted.append(("enter", started.attempt))
        token = inside.set(started.tool)
        try:
            yield
        finally:
            inside.reset(token)
            self.noted.append("leave")

    def __call__(self, event: Any) -> None:
        self.noted.append(event.traces if isinstance(event, BatchEvent) else event.kind.value)


@both
def test_a_hook_is_around_an_attempt_from_its_start_to_its_record_and_the_code_sees_its_context(
    world: World, run: Callable[..., Any]
) -> None:
    hook = Attending()
    (saw,) = run(world.executor(hooks=[hook]), batch("pay"), {"pay": lambda i: inside.get()})
    assert saw == "pay"
    assert hook.noted == [
        ("opening", "b-1", "core"),
        ("opened", "b-1"),
        "reserved",
        "started",
        ("enter", 1),
        "finished",
        "leave",
        (),
    ]


def test_what_a_hook_gave_at_the_opening_comes_back_to_later_owners(world: World) -> None:
    hook = Attending()
    for _ in range(2):
        world.executor(hooks=[hook]).run_all(batch("pay"), {"pay": lambda i: i})
    assert hook.noted[-1] == ("my trace",)


def test_a_batch_that_cannot_be_opened_is_told_so(world: World) -> None:
    hook = Attending()
    executor = world.executor(hooks=[hook])
    executor.run_all(batch("pay"), {"pay": lambda i: i})
    hook.noted.clear()
    executor.journal.submit(Purge(run_id="run-1", at=0.0, why="over")).result(5)
    with pytest.raises(RunPurged):
        executor.run_all(batch("pay"), {"pay": lambda i: i})
    assert hook.noted == [("opening", "b-1", "core"), ("opened", None)]


@pytest.mark.parametrize("where", ["opening", "opened", "running", "enter", "exit"])
@both
def test_a_hook_that_raises_touches_nothing(
    world: World, run: Callable[..., Any], where: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Attending):
        def opening(self, *_: Any) -> Any:
            if where == "opening":
                raise ValueError

        def opened(self, *_: Any) -> None:
            if where == "opened":
                raise ValueError

        def running(self, started: CallEvent) -> Any:
            if where == "running":
                raise ValueError
            return self

        def __enter__(self) -> None:
            if where == "enter":
                raise ValueError

        def __exit__(self, *_: object) -> bool:
            if where == "exit":
                raise ValueError
            return True  # whoever would swallow the error of a call does not get it

    def fails(i: int) -> None:
        raise LookupError

    other = Attending()
    executor = world.executor(hooks=[Failing(), other])
    outcome = run(
        executor, batch("pay", "fails"), {"pay": lambda i: i, "fails": fails}, return_exceptions=True
    )
    assert outcome[0] == 0
    assert isinstance(outcome[1], LookupError)
    assert other.noted.count("leave") == 2
    assert "toolslot.hook_failed" in caplog.text
