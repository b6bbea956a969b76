"""Code that runs on in a thread or a process when nobody waits for it any more: nothing runs again and nobody is asked meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.apart import open_apart
from support.harness import World, batch, running
from support.odd import OddJournal, once, writes
from support.outliving import POLICIES, Payment, pay_in_a_process, told, until, waited_for
from toolslot import (
    BatchBusy,
    CallTimedOut,
    DecisionRefused,
    Done,
    DurableExecutor,
    Fenced,
    Limits,
    MemoryJournal,
    NotDone,
    Reason,
    SlotState,
    StillRunning,
    ToolPolicy,
    resolve,
    takeover,
)
from toolslot._batch._registry import registry_of
from toolslot._domain._slot import Finished
from toolslot._errors import JournalClosed, JournalFull
from toolslot.journal import DiskJournal, Journal

SOON = 0.2
PAY = batch("pay")

#: the doors of plain code, and what may end the waiting in each
CAUSES = {
    "run_all": ("call timeout", "batch timeout"),
    "call": ("call timeout", "batch timeout"),
    "arun_all": ("caller cancelled", "call timeout", "batch timeout"),
    "acall": ("caller cancelled", "call timeout", "batch timeout"),
}
CASES = [
    (door, cause, POLICIES[(i + j + k) % len(POLICIES)])
    for i, (door, causes) in enumerate(CAUSES.items())
    for j, cause in enumerate(causes)
    for k in (0, 1, 3)
]


class Scene:
    """One process: executors of their own over one journal on disk."""

    def __init__(self, root: Path, payment: Payment, door: str) -> None:
        self.root, self.payment, self.door = root / "journal", payment, door
        self.opened: list[DiskJournal] = []
        self.journal: Journal = self.open()

    def open(self) -> DiskJournal:
        self.opened.append(DiskJournal.open(self.root))
        return self.opened[-1]

    def executor(self, policy: str = "default", cause: str = "", **limits: Any) -> DurableExecutor:
        limits = {"busy_timeout": 20, **limits}
        if cause == "batch timeout":
            limits["batch_timeout"] = SOON
        timeout = SOON if cause == "call timeout" else None
        policies = {"pay": self.payment.policy(policy, timeout=timeout)}
        return DurableExecutor(self.open(), policies=policies, limits=Limits(**limits), hooks=[])

    def begin(self, executor: DurableExecutor) -> asyncio.Task[Any]:
        return asyncio.ensure_future(self._enter(executor))

    async def _enter(self, executor: DurableExecutor) -> Any:
        pay = self.payment.pay
        tools = {"pay": lambda i: pay()}
        if self.door == "run_all":
            return (await asyncio.to_thread(executor.run_all, PAY, tools))[0]
        if self.door == "arun_all":
            return (await executor.arun_all(PAY, tools))[0]
        if self.door == "call":
            return await asyncio.to_thread(self._call, executor)
        async with executor.open(PAY) as run:
            with ExitStack() as stack:
                threads = ThreadPoolExecutor(1)
                stack.callback(threads.shutdown, wait=False)
                return await run.acall(0, pay, offload=threads)

    def _call(self, executor: DurableExecutor) -> Any:
        with executor.open(PAY) as run:
            return run.call(0, self.payment.pay)

    async def left(self, cause: str, policy: str = "default") -> None:
        """The call is in its thread, and nobody waits for it any more."""
        run = self.begin(self.executor(policy, cause))
        await told(self.payment.inside)
        if cause == "caller cancelled":
            run.cancel()
        await asyncio.wait((run,))
        assert run.cancelled() or isinstance(run.exception(), CallTimedOut)

    async def joined(self, run: asyncio.Task[Any]) -> None:
        await until(lambda: waited_for(self.journal) or run.done() or self.payment.began > 1)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    made: list[Scene] = []

    def scene(payment: Payment, door: str = "acall") -> Scene:
        made.append(Scene(tmp_path, payment, door))
        return made[-1]

    yield scene
    for each in made:
        each.payment.go_on.set()
        for journal in each.opened:
            journal.close()


def play(payment: Payment, scene: Callable[[], Any]) -> Any:
    async def main() -> Any:
        try:
            return await scene()
        finally:
            payment.go_on.set()

    return asyncio.run(main())


@pytest.mark.parametrize(("door", "cause", "policy"), CASES)
def test_who_enters_the_call_waits_for_its_thread_and_takes_its_result(
    make: Any, door: str, cause: str, policy: str
) -> None:
    payment = Payment()
    scene = make(payment, door)

    async def resumed() -> Any:
        await scene.left(cause, policy)
        run = scene.begin(scene.executor(policy))
        await scene.joined(run)
        payment.go_on.set()
        return await run

    assert play(payment, resumed) == "paid by thread 1"
    assert payment.settled_once == (1, 1, 0)


@pytest.mark.parametrize("door", sorted(CAUSES))
def test_what_the_thread_raises_is_raised_where_it_is_waited_for(make: Any, door: str) -> None:
    payment = Payment(raises=ConnectionError("the bank is away"))
    scene = make(payment, door)

    async def resumed() -> Any:
        await scene.left("call timeout")
        run = scene.begin(scene.executor())
        await scene.joined(run)
        payment.go_on.set()
        await asyncio.wait((run,))
        return run.exception()

    assert isinstance(play(payment, resumed), ConnectionError)
    assert payment.settled_once == (1, 1, 0)


@pytest.mark.parametrize("door", sorted(CAUSES))
def test_a_thread_that_does_not_end_is_waited_for_as_long_as_the_entrance_says(make: Any, door: str) -> None:
    payment = Payment()
    scene = make(payment, door)

    async def resumed() -> Any:
        await scene.left("call timeout", "reconciler")
        with pytest.raises(BatchBusy, match=r"call 0 .*pay.* still runs in this process"):
            await scene.begin(scene.executor("reconciler", busy_timeout=0.1))
        assert payment.settled_once == (1, 0, 0)
        payment.go_on.set()
        return await scene.begin(scene.executor("reconciler", busy_timeout=None))

    assert play(payment, resumed) == "paid by thread 1"
    assert payment.settled_once == (1, 1, 0)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("cause", ["caller cancelled", "call timeout", "batch timeout"])
def test_a_process_of_a_pool_is_waited_for_like_a_thread(tmp_path: Path, cause: str, policy: str) -> None:
    inside, go_on, effects = (tmp_path / name for name in ("inside", "go_on", "effects"))
    os.mkfifo(inside)
    os.mkfifo(go_on)
    payment = Payment()
    b = batch("pay", args={"inside": str(inside), "go_on": str(go_on), "effects": str(effects)})

    async def enter(pool: Executor, **settings: Any) -> Any:
        limits = Limits(busy_timeout=20, batch_timeout=settings.pop("batch_timeout", None))
        policies = {"pay": payment.policy(policy, **settings)}
        with DiskJournal.open(tmp_path / "journal") as journal:
            executor = DurableExecutor(journal, policies=policies, limits=limits, hooks=[], executor=pool)
            return (await executor.arun_all(b, {"pay": pay_in_a_process}))[0]

    async def main() -> Any:
        with ProcessPoolExecutor(1) as pool:
            # The process of the pool is there before a clock runs.
            await asyncio.wrap_future(pool.submit(os.getpid))
            settings = {"call timeout": {"timeout": SOON}, "batch timeout": {"batch_timeout": SOON}}
            run = asyncio.ensure_future(enter(pool, **settings.get(cause, {})))
            await asyncio.to_thread(inside.read_text)
            if cause == "caller cancelled":
                run.cancel()
            await asyncio.wait((run,))
            assert run.cancelled() or isinstance(run.exception(), CallTimedOut)
            again = asyncio.ensure_future(enter(pool))
            with DiskJournal.open(tmp_path / "journal") as journal:
                await until(lambda: waited_for(journal) or again.done())
                go_on.write_text("go on")
                return await again

    assert asyncio.run(main()) == "paid"
    assert effects.read_text() == "paid\n"
    assert payment.asked == 0


# --- what a person does meanwhile -----------------------------------------------------------------------------------------


def test_a_call_is_not_decided_while_its_thread_may_live(make: Any) -> None:
    payment = Payment()
    scene = make(payment)

    async def decided() -> None:
        await scene.left("call timeout", "ask")
        record = scene.journal.load(PAY.key).result()
        assert record is not None
        version = record.slots[0].version
        says: Any = {"by": "ann", "why": "the bank says no", "version": version}
        for journal in (scene.journal, open_apart(scene.root)):
            with pytest.raises(BatchBusy, match="may still run"):
                resolve(journal, PAY.key, 0, NotDone(), **says)
        journal.close()
        async with scene.executor("ask").open(PAY) as run:
            with pytest.raises(BatchBusy, match="still runs"):
                await run.adecide(0, NotDone(), **says)
        payment.go_on.set()
        await until(lambda: not len(registry_of(scene.journal)))
        with pytest.raises(DecisionRefused):
            resolve(scene.journal, PAY.key, 0, NotDone(), **says)

    play(payment, decided)
    assert payment.settled_once == (1, 1, 0)


def test_a_thread_that_ended_without_an_outcome_can_be_decided(world: World) -> None:
    async def main() -> None:
        async with world.executor(policies={"pay": ToolPolicy(on_unknown="ask", timeout=0.01)}).open(
            PAY
        ) as run:
            with pytest.raises(CallTimedOut):
                await run.acall(0, asyncio.Event().wait)

    asyncio.run(main())
    record = world.journals[-1].load(PAY.key).result()
    assert record is not None
    slot = resolve(
        world.journals[-1], PAY.key, 0, Done("paid"), by="ann", why="seen", version=record.slots[0].version
    )
    assert slot.state is SlotState.SUCCEEDED


@pytest.mark.parametrize("by", ["the run", "an operator here", "an operator elsewhere"])
def test_a_forced_takeover_ends_the_waiting_and_the_policy_is_applied(make: Any, by: str) -> None:
    payment = Payment()
    scene = make(payment)

    async def taken() -> Any:
        await scene.left("call timeout")
        run = scene.begin(scene.executor())
        await scene.joined(run)
        assert payment.began == 1
        if by == "the run":
            async with scene.executor().open(PAY) as own:
                await asyncio.to_thread(own.takeover, force=True, why="it hangs")
                return await run
        journal = scene.journal if by == "an operator here" else open_apart(scene.root)
        with ExitStack() as stack:
            if journal is not scene.journal:
                stack.callback(journal.close)
            await asyncio.to_thread(takeover, journal, PAY.run_id, by="ann", why="it hangs", force=True)
            return await run

    assert play(payment, taken) == "paid by thread 2"
    assert payment.began == 2
    payment.over.wait(10)
    record = scene.journal.load(PAY.key).result()
    assert record is not None
    assert len(record.tenures) > 1
    assert record.slots[0].state is SlotState.SUCCEEDED


def test_what_a_thread_returns_after_a_forced_takeover_is_evidence(make: Any) -> None:
    payment = Payment()
    scene = make(payment)

    async def taken() -> None:
        await scene.left("call timeout", "ask")
        async with scene.executor("ask").open(PAY) as run:
            await asyncio.to_thread(run.takeover, force=True, why="it hangs")
            payment.go_on.set()
            await told(payment.over)
            await until(lambda: scene.journal.load(PAY.key).result().slots[0].evidence)  # type: ignore[union-attr]

    play(payment, taken)
    record = scene.journal.load(PAY.key).result()
    assert record is not None
    assert record.slots[0].state is SlotState.UNKNOWN
    assert record.slots[0].reason in (Reason.TIMED_OUT, Reason.TAKEN_OVER)


def test_an_entrance_whose_call_was_taken_over_inside_its_own_process_learns_it() -> None:
    entered, go_on = threading.Event(), threading.Event()
    executor = DurableExecutor(MemoryJournal(), hooks=[])
    outcomes: list[BaseException] = []

    def slow() -> str:
        entered.set()
        assert go_on.wait(10)
        return "too late"

    def first() -> None:
        with executor.open(PAY) as run:
            try:
                run.call(0, slow)
            except Fenced as fenced:
                outcomes.append(fenced)

    with running(first):
        assert entered.wait(10)
        with executor.open(PAY) as run:
            run.takeover(force=True, why="it hangs")
            assert run.call(0, lambda: "second") == "second"
        go_on.set()
    assert len(outcomes) == 1


# --- what a late result meets -----------------------------------------------------------------------------------------------


def test_a_late_result_that_the_journal_cannot_take_is_kept_and_recorded_by_who_comes_next(
    world: World,
) -> None:
    odd = OddJournal(world.store)
    payment = Payment()
    executor = DurableExecutor(odd, policies={"pay": payment.policy("default", timeout=SOON)}, hooks=[])
    with executor.open(PAY) as run, pytest.raises(CallTimedOut):
        run.call(0, payment.pay)
    odd.before = once(JournalFull("no space"), lambda operation: writes(operation, Finished))
    payment.go_on.set()
    assert payment.over.wait(10)
    with executor.open(PAY) as run:
        assert run.call(0, payment.pay) == "paid by thread 1"
    assert payment.settled_once == (1, 1, 0)


@pytest.mark.parametrize("policy", ["fail", "default"])
def test_a_timeout_that_the_agent_was_told_is_not_told_again_while_the_thread_lives(policy: str) -> None:
    """Its sibling failed, so the batch is open: what the thread returns is the record for who comes next."""
    payment, journal = Payment(), MemoryJournal()
    policies = {"pay": payment.policy(policy, timeout=SOON)}
    executor = DurableExecutor(journal, policies=policies, hooks=[])
    two = batch("pay", "mail")
    with executor.open(two) as run:
        with pytest.raises(CallTimedOut):
            run.call(0, payment.pay)
        run.deliver(0, "it timed out")
    got: list[object] = []

    def again() -> None:
        with executor.open(two) as run:
            got.append(run.call(0, payment.pay))

    with running(again):
        while not (waited_for(journal) or got):
            pass
        payment.go_on.set()
    assert got == ["paid by thread 1"]
    assert payment.settled_once == (1, 1, 0)


# --- waiting ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["sync", "async"])
def test_a_call_whose_permit_only_abandoned_threads_hold_is_refused_in_the_end(
    door: str,
) -> None:
    payment = Payment()
    executor = DurableExecutor(
        MemoryJournal(),
        policies={"pay": payment.policy("default", timeout=SOON, max_parallel=1)},
        limits=Limits(busy_timeout=0.1),
        hooks=[],
    )
    two = batch("pay", "pay")

    async def asecond() -> Any:
        async with executor.open(two) as run:
            with ThreadPoolExecutor(1) as threads:
                return await run.acall(1, payment.pay, offload=threads)

    def second() -> Any:
        if door == "async":
            return asyncio.run(asecond())
        with executor.open(two) as run:
            return run.call(1, payment.pay)

    try:
        with executor.open(two) as run, pytest.raises(CallTimedOut):
            run.call(0, payment.pay)
        with pytest.raises(BatchBusy, match=r"call 1 .* was not started.*call 0 .*pay"):
            second()
    finally:
        payment.go_on.set()
    assert payment.over.wait(10)
    with executor.open(two) as run:
        assert run.call(1, payment.pay) == "paid by thread 2"


def test_without_a_busy_timeout_another_owner_is_waited_for_to_its_end(world: World) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert go_on.wait(10)
        return "first"

    def first() -> None:
        with world.executor().open(PAY) as run:
            run.call(0, slow)

    got: list[str] = []

    def second() -> None:
        with world.executor(limits=Limits(busy_timeout=None)).open(PAY) as run:
            got.append(run.call(0, lambda: "second"))

    with running(first):
        assert entered.wait(10)
        with running(second):
            go_on.set()
    assert got == ["first"]


def test_without_a_busy_timeout_calls_run_replay_and_are_reconciled(world: World) -> None:
    from support.harness import die_inside

    limits = Limits(busy_timeout=None)
    assert world.executor(limits=limits).run_all(PAY, {"pay": lambda i: "paid"}) == ["paid"]
    assert world.executor(limits=limits).run_all(PAY, {"pay": lambda i: "again"}) == ["paid"]
    other = batch("pay", key="b-2")
    die_inside(world, world.executor(), key="b-2")
    answers: list[Any] = [StillRunning(0.001), Done("seen")]
    policies = {"pay": ToolPolicy(reconcile=lambda slot: answers.pop(0))}
    got = world.executor(limits=limits, policies=policies).run_all(other, {"pay": lambda i: "again"})
    assert got == ["seen"]


# --- a journal that is closed meanwhile -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["while it is closed", "when it is open again"])
def test_a_journal_that_was_closed_still_takes_what_the_thread_returns(tmp_path: Path, ends: str) -> None:
    """As where each request opens the journal and closes it, and the caller of one goes away."""
    payment = Payment()
    policies = {"pay": payment.policy("default", timeout=SOON)}

    def request() -> list[Any]:
        with DiskJournal.open(tmp_path / "journal") as journal:
            executor = DurableExecutor(journal, policies=policies, hooks=[])
            return executor.run_all(PAY, {"pay": lambda i: payment.pay()})

    with pytest.raises(CallTimedOut):
        request()
    assert payment.inside.is_set()
    got: list[Any] = []
    if ends == "while it is closed":
        payment.go_on.set()
        assert payment.over.wait(10)
        got = request()
    else:
        with running(lambda: got.extend(request())):
            journal = DiskJournal.open(tmp_path / "journal")
            while not (waited_for(journal) or payment.began > 1):
                pass
            payment.go_on.set()
        journal.close()
    assert got == ["paid by thread 1"]
    assert payment.settled_once == (1, 1, 0)
    with pytest.raises(JournalClosed):
        journal_after_all(tmp_path)


def journal_after_all(root: Path) -> None:
    """What was open is closed in the end."""
    journal = DiskJournal.open(root / "journal")
    journal.close()
    journal.load(PAY.key).result()
