"""Progress bars: drawn by the real tqdm, for real batches."""

from __future__ import annotations

import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.harness import World, batch, both
from toolslot import CallTimedOut, DurableExecutor, MemoryJournal, ToolPolicy
from toolslot.instrumentation import ProgressHook

tqdm = pytest.importorskip("tqdm")


def hook_on(screen: io.StringIO, **options: Any) -> ProgressHook:
    return ProgressHook(file=screen, mininterval=0, ascii=True, ncols=120, **options)


def last_line(screen: io.StringIO) -> str:
    return screen.getvalue().strip().rpartition("\r")[2]


def refuse(i: int) -> str:
    raise LookupError(i)


@both
def test_the_bar_of_a_batch_ends_with_what_became_of_its_calls(run: Any) -> None:
    screen = io.StringIO()
    executor = DurableExecutor(MemoryJournal(), hooks=[hook_on(screen)])
    run(
        executor, batch("read", "read", "fail"), {"read": lambda i: i, "fail": refuse}, return_exceptions=True
    )
    line = last_line(screen)
    assert line.startswith("run-1: 100%")
    assert "3/3" in line
    assert "2 finished, 1 failed" in line


def test_a_resumed_batch_knows_its_size_and_counts_replays() -> None:
    world, screen = World(), io.StringIO()
    first = world.executor()
    with first.open(batch("read", "read", "read")) as dying:
        dying.call(0, world.tool("read"))
        dying.call(1, world.tool("read"))
        world.crash()
    again = world.executor(hooks=[hook_on(screen)])
    again.run_all(batch("read", "read", "read"), {"read": world.tool("read")})
    assert "3/3" in last_line(screen)
    assert "1 finished, 2 replayed" in last_line(screen)


def test_a_call_that_timed_out_is_unknown_and_leaves_the_bar_short() -> None:
    screen, release = io.StringIO(), threading.Event()
    policies = {"pay": ToolPolicy(timeout=0.01, on_unknown="ask")}
    executor = DurableExecutor(MemoryJournal(), policies=policies, hooks=[hook_on(screen)])
    with executor.open(batch("pay", "read")) as run:
        with pytest.raises(CallTimedOut):
            run.call(0, release.wait)
        run.call(1, lambda: "fog")
    release.set()
    assert "1/2" in last_line(screen)
    assert "1 finished, 1 unknown" in last_line(screen)


def test_a_retried_call_is_counted_once() -> None:
    screen, tries = io.StringIO(), iter([LookupError("no"), None])

    def flaky(i: int) -> str:
        error = next(tries)
        if error is not None:
            raise error
        return "fog"

    policies = {"read": ToolPolicy(idempotent=True, retry=2)}
    executor = DurableExecutor(MemoryJournal(), policies=policies, hooks=[hook_on(screen)])
    executor.run_all(batch("read"), {"read": flaky})
    assert "1/1" in last_line(screen)
    assert "1 finished" in last_line(screen)
    assert "failed" not in last_line(screen)


class Bars:
    """Stands in for a class of tqdm, and keeps what its bars were told."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def __call__(self, **options: Any) -> Any:
        outer, lock = self, threading.Lock()

        class Bar:
            total = options["total"]
            n = 0
            closed = False

            def update(self, n: float = 1) -> None:
                assert lock.acquire(blocking=False), "two threads at once"
                try:
                    self.n += int(n)
                finally:
                    lock.release()

            def set_postfix_str(self, s: str = "", refresh: bool = True) -> None: ...

            def close(self) -> None:
                self.closed = True

        self.made.append(Bar())
        return outer.made[-1]


def test_batches_side_by_side_have_a_bar_each_and_threads_do_not_meet_in_it() -> None:
    bars = Bars()
    executor = DurableExecutor(MemoryJournal(), hooks=[ProgressHook(bars)])
    batches = [batch(*["read"] * 50, key=f"b-{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda one: executor.run_all(one, {"read": lambda i: i}), batches))
    assert [(bar.total, bar.n, bar.closed) for bar in bars.made] == [(50, 50, True)] * 4


def test_a_run_id_cannot_draw_on_the_screen() -> None:
    screen = io.StringIO()
    executor = DurableExecutor(MemoryJournal(), hooks=[hook_on(screen)])
    executor.run_all(batch("read", run="\x1b[2J\nx" * 99), {"read": lambda i: i})
    assert "\x1b[2J" not in screen.getvalue()


def test_a_stopped_call_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    class Question(Exception):
        pass

    def ask(i: int) -> str:
        raise Question

    screen = io.StringIO()
    executor = DurableExecutor(MemoryJournal(), pauses=(Question,), hooks=[hook_on(screen)])
    with pytest.raises(Question):
        executor.run_all(batch("ask", "read"), {"ask": ask, "read": lambda i: i})
    assert "1 finished, 1 waiting" in last_line(screen)


def test_without_tqdm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"toolslot\[progress\]"):
        ProgressHook()
