"""Ctrl-C at each line of the code that takes a batch and lets it go: nobody may be left waiting, and nothing held."""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pytest

from support.harness import World, batch
from toolslot import DurableExecutor, Limits

TWO = batch("pay", "mail")


class Interrupter:
    """Raises at the `line`th line, from 1, of one function, the first time that the current thread comes to it."""

    def __init__(self, function: str, line: int) -> None:
        self.function, self.left, self.came = function, line, False

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        return self.each if frame.f_code.co_qualname == self.function else None

    def each(self, frame: FrameType, event: str, _: object) -> Any:
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        # Where a `with` ends the tracer comes before the lock is given back, and no real signal does.
        if event == "line" and not text.startswith("with ") and not self.came:
            self.left -= 1
            if not self.left:
                self.came = True
                raise KeyboardInterrupt
        return self.each


@contextmanager
def interrupted(function: str, line: int) -> Generator[Interrupter]:
    tracer = Interrupter(function, line)
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with suppress(KeyboardInterrupt):
            yield tracer
    finally:
        sys.settrace(before)


def at_each_line(function: str, scene: Callable[[str, int], bool]) -> None:
    """Play the scene once for each line, until a line is not come to."""
    for line in range(1, 200):
        if not scene(function, line):
            assert line > 1, f"{function} was never entered"
            return
    raise AssertionError("the function does not end")


def executor(world: World) -> DurableExecutor:
    return world.executor(limits=Limits(busy_timeout=1))


@pytest.mark.parametrize(
    "function", ["Opening.release", "LiveBatch.detach", "LiveBatch.maybe_release", "let_go", "_release"]
)
@pytest.mark.skipif(sys.version_info < (3, 11), reason="code objects have no qualified name there")
def test_a_batch_that_was_being_let_go_is_taken_up_again_in_the_same_process(function: str) -> None:
    def scene(function: str, line: int) -> bool:
        here = executor(World())
        with interrupted(function, line) as tracer, here.open(TWO) as run:
            run.call(0, lambda: "paid")
        with here.open(TWO) as run:
            assert run.call(0, lambda: "again") == "paid"
            assert run.call(1, lambda: "mailed") == "mailed", f"line {line}"
        return tracer.came

    at_each_line(function, scene)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="code objects have no qualified name there")
def test_a_claim_that_was_interrupted_holds_up_no_other_entrant() -> None:
    def scene(function: str, line: int) -> bool:
        here = executor(World())
        with here.open(TWO):
            pass  # reserved and let go: it is free
        got: list[str] = []
        with here.open(TWO) as other:
            with interrupted(function, line) as tracer, here.open(TWO) as run:
                run.call(0, lambda: "paid")
            waiter = threading.Thread(target=lambda: got.append(other.call(1, lambda: "mailed")), daemon=True)
            waiter.start()
            waiter.join(10)
        assert got == ["mailed"], f"line {line}"
        return tracer.came

    at_each_line("LiveBatch.claiming", scene)
