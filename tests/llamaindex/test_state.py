"""What tools change in the workflow's state, in parallel and in every way there is, is the same after a resume."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from pydantic import BaseModel

from toolslot import EventKind, ResultNotStorable, Retry, ToolPolicy, ToolslotError, TypeCodec

Write = Callable[[Any, str], Awaitable[None]]


async def by_set(ctx: Any, name: str) -> None:
    log = await ctx.store.get("log", default=[])
    log.append(name)
    await ctx.store.set("log", log)
    await ctx.store.set("n", await ctx.store.get("n", default=0) + 1)


async def by_new_values(ctx: Any, name: str) -> None:
    await ctx.store.set("log", [*await ctx.store.get("log", default=[]), name])
    await ctx.store.set("n", 1 + await ctx.store.get("n", default=0))


async def by_edit_state(ctx: Any, name: str) -> None:
    async with ctx.store.edit_state() as state:
        state["log"] = [*state.get("log", []), name]
        state["n"] = state.get("n", 0) + 1


async def by_edit_state_in_place(ctx: Any, name: str) -> None:
    async with ctx.store.edit_state() as state:
        if "log" not in state:
            state["log"] = []
        state["log"].append(name)
        state["n"] = state.get("n", 0) + 1


async def by_set_state(ctx: Any, name: str) -> None:
    state = await ctx.store.get_state()
    state["log"] = [*state.get("log", []), name]
    state["n"] = state.get("n", 0) + 1
    await ctx.store.set_state(state)


async def by_a_path(ctx: Any, name: str) -> None:
    """The values lie deeper, and the paths go there."""
    await ctx.store.set("at.log", [*await ctx.store.get("at.log", default=[]), name])
    await ctx.store.set("at.n", 1 + await ctx.store.get("at.n", default=0))


async def in_place(ctx: Any, name: str) -> None:
    """Without a write: the framework gives out what the state holds."""
    held = await ctx.store.get("state")
    held["log"].append(name)
    held["n"] += 1


async def in_place_after_set(ctx: Any, name: str) -> None:
    held: dict[str, Any] = await ctx.store.get("own", default={"log": [], "n": 0})
    await ctx.store.set("own", held)
    held["log"].append(name)
    held["n"] += 1


WAYS: list[Write] = [
    by_set,
    by_new_values,
    by_edit_state,
    by_edit_state_in_place,
    by_set_state,
    by_a_path,
    in_place,
    in_place_after_set,
]
ways = pytest.mark.parametrize("write", WAYS, ids=[way.__name__ for way in WAYS])


def values(state: Any) -> dict[str, Any]:
    """What a person has put into a state."""
    found = {key: state.get(key) for key in ("log", "n", "at", "own", "state") if key in state}
    return {key: value for key, value in found.items() if value is not None}


def log_and_count(state: dict[str, Any]) -> tuple[list[str], int]:
    for inner in (state, *(each for each in state.values() if isinstance(each, dict))):
        if inner.get("log"):
            return inner["log"], inner["n"]
    raise AssertionError(f"nothing was written: {state}")


class Writers:
    """Tools `a` and `b` that write one after the other, in either order."""

    def __init__(self, talk: Any, write: Write, first: str) -> None:
        self.talk, self.write, self.first = talk, write, first
        self.crashes: str | None = None
        self.written = self.resumed = False
        self.begun: list[str] = []

    async def _call(self, ctx: Any, name: str) -> str:
        self.begun.append(name)
        if name != self.first and not self.resumed:
            await self.until(lambda: self.written)
        await self.write(ctx, name)
        self.written = True
        if self.crashes == name:
            await self.until(self._other_is_recorded)
            self.crashes, self.resumed = None, True
            self.talk.crash()
        return name

    def _other_is_recorded(self) -> bool:
        return any(event.kind is EventKind.FINISHED for event in self.talk.world.events.all)

    async def until(self, there: Callable[[], bool]) -> None:
        while not there():  # noqa: ASYNC110 - it is told by a flag
            await asyncio.sleep(0)

    @property
    def tools(self) -> list[Any]:
        async def a(ctx: Context) -> str:
            """Writes."""
            return await self._call(ctx, "a")

        async def b(ctx: Context) -> str:
            """Writes."""
            return await self._call(ctx, "b")

        for tool in (a, b):
            tool.__annotations__["ctx"] = Context
        return [a, b]

    def run(self) -> dict[str, Any]:
        """The state at the end of a run in a new process."""
        self.begun = []

        async def main() -> dict[str, Any]:
            agent = self.talk.agent_with_state(self.tools)
            handler = agent.run(user_msg="go", run_id="r-1")
            await handler
            return values(await handler.ctx.store.get_state())

        return asyncio.run(main())


@pytest.fixture
def stateful(talk: Any) -> Any:
    def agent_with_state(tools: Any) -> Any:
        return talk.wrap(talk.plain(tools, initial_state={"log": [], "n": 0}))

    talk.agent_with_state = agent_with_state
    talk.script([("a", {}), ("b", {})], "done")
    return talk


@ways
@pytest.mark.parametrize("first", ["a", "b"])
def test_the_state_of_a_finished_run_is_there_again(stateful: Any, write: Write, first: str) -> None:
    writers = Writers(stateful, write, first)
    live = writers.run()
    assert log_and_count(live) == (sorted("ab", key=lambda name: name != first), 2)
    stateful.crash()
    assert writers.run() == live
    assert writers.begun == [], "both were replayed"


@ways
@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize("lost", ["a", "b"])
def test_what_a_call_wrote_that_was_not_recorded_is_not_taken_for_its_siblings(
    stateful: Any, write: Write, first: str, lost: str
) -> None:
    """Killed when one of two is recorded: that one's entry is there, and the other's comes again when it runs again."""
    writers = Writers(stateful, write, first)
    writers.crashes = lost
    with pytest.raises(ToolslotError):
        writers.run()
    kept = "b" if lost == "a" else "a"
    assert log_and_count(writers.run()) == ([kept, lost], 2)
    assert writers.begun == [lost]


def told_to(talk: Any, agent: Any) -> dict[str, Any]:
    """The state at the end of a run."""

    async def main() -> dict[str, Any]:
        handler = agent.run(user_msg="go", run_id="r-1")
        await handler
        return dict((await handler.ctx.store.get_state()).items())

    return asyncio.run(main())


def tool(write: Callable[[Any], Awaitable[None]], name: str = "work") -> Any:
    """A tool with a context that does this."""

    async def work(ctx: Context) -> str:
        await write(ctx)
        return name

    work.__annotations__["ctx"] = Context
    return FunctionTool.from_defaults(async_fn=work, name=name, description="Works.")


def both_read_before_either_writes(talk: Any) -> list[Any]:
    """What plain agents lose, the replay loses too."""
    read: list[str] = []

    def writer(name: str) -> Any:
        async def write(ctx: Any) -> None:
            n = await ctx.store.get("n")
            read.append(name)
            while len(read) < 2:  # noqa: ASYNC110 - it is told by a list
                await asyncio.sleep(0)
            await ctx.store.set("n", n + 1)
            await ctx.store.set("last", name)

        return tool(write, name)

    return [writer("a"), writer("b")]


def test_an_update_that_was_lost_stays_lost(talk: Any) -> None:
    async def begin(ctx: Any) -> None:
        await ctx.store.set("n", 0)

    talk.script([("begin", {})], [("a", {}), ("b", {})], "done")
    tools = [tool(begin, "begin"), *both_read_before_either_writes(talk)]
    live = told_to(talk, talk.agent(tools))
    assert live["n"] == 1
    replayed = told_to(talk, talk.agent(tools))
    assert {key: replayed[key] for key in ("n", "last")} == {key: live[key] for key in ("n", "last")}


def test_what_a_call_put_there_is_there_also_where_a_sibling_that_is_lost_had_put_the_same(talk: Any) -> None:
    begun: list[str] = []

    def writer(name: str) -> Any:
        async def write(ctx: Any) -> None:
            begun.append(name)
            if begun == ["a", "b"]:
                await ctx.store.set("status", "seen")
            else:
                await ctx.store.set("status", "seen")
                if begun == ["a"]:
                    while not finished(talk):  # noqa: ASYNC110 - it is told by an event
                        await asyncio.sleep(0)
                    talk.crash()

        return tool(write, name)

    talk.script([("a", {}), ("b", {})], "done")
    tools = [writer("a"), writer("b")]
    with pytest.raises(ToolslotError):
        told_to(talk, talk.agent(tools, policies={"a": ToolPolicy(on_unknown="fail")}))
    state = told_to(talk, talk.agent(tools, policies={"a": ToolPolicy(on_unknown="fail")}))
    assert begun == ["a", "b"]
    assert state["status"] == "seen"


def finished(talk: Any) -> bool:
    return any(event.kind is EventKind.FINISHED for event in talk.world.events.all)


class Order(BaseModel):
    """A class that nothing allows."""

    n: int


class Handle:
    """Of this process alone."""

    def __init__(self) -> None:
        self.lock = Lock()


async def put_an_order(ctx: Any) -> None:
    async with ctx.store.edit_state() as state:
        state["state"] = {"order": Order(n=7), "n": 1, "log": ["x"]}


async def put_a_handle(ctx: Any) -> None:
    await ctx.store.set("state.handle", Handle())
    await ctx.store.set("state.n", 1)


@pytest.mark.parametrize(
    ("write", "remedy"),
    [
        (put_an_order, Order),
        (put_a_handle, TypeCodec(name="h", cls=Handle, dump=lambda _: None, load=lambda _: Handle())),
    ],
    ids=["a class that is not allowed", "a handle"],
)
def test_a_value_that_cannot_be_made_again_stops_the_replay_until_its_class_is_named(
    talk: Any, write: Any, remedy: Any, caplog: Any
) -> None:
    """Nothing runs, and the rest of the state is there afterwards."""
    talk.script([("work", {}), ("other", {})], "done")

    async def note(ctx: Any) -> None:
        talk.effects.append("other")
        await ctx.store.set("other", True)

    def agent(**settings: Any) -> Any:
        return talk.agent([tool(write), tool(note, "other")], **settings)

    told_to(talk, agent())
    assert "toolslot.state_not_restorable" in caplog.text
    with pytest.raises(ResultNotStorable, match=r"Order|Handle"):
        told_to(talk, agent())
    assert (talk.effects, talk.llm.asked) == (["other"], 2)

    state = told_to(talk, agent(allowed_types=[remedy]))
    assert (state["state"]["n"], state["other"]) == (1, True)
    assert isinstance(state["state"].get("order") or state["state"].get("handle"), (Order, Handle))
    assert (talk.effects, talk.llm.asked) == (["other"], 2)


def test_what_a_call_wrote_before_it_timed_out_is_there_again(talk: Any) -> None:
    async def slow(ctx: Any) -> None:
        await ctx.store.set("began", True)
        await asyncio.sleep(60)

    talk.script([("work", {})], "done")
    policies = {"work": ToolPolicy(timeout=0.05)}
    for _ in range(2):
        assert told_to(talk, talk.agent([tool(slow)], policies=policies))["began"] is True
    assert talk.llm.asked == 2


def test_what_every_try_of_a_call_wrote_is_there_again(talk: Any) -> None:
    tries: list[int] = []

    async def work(ctx: Any) -> None:
        tries.append(1)
        await ctx.store.set("n", 1 + await ctx.store.get("n", default=0))
        if len(tries) < 3:
            raise ConnectionError("away")

    talk.script([("work", {})], "done")
    policies = {"work": ToolPolicy(retry=Retry(stop=3, wait=0))}
    assert [told_to(talk, talk.agent([tool(work)], policies=policies))["n"] for _ in range(2)] == [3, 3]
    assert len(tries) == 3


def test_a_call_that_runs_again_on_resume_writes_once(talk: Any) -> None:
    async def work(ctx: Any) -> None:
        talk.effects.append("work")
        await ctx.store.set("n", 1 + await ctx.store.get("n", default=0))

    talk.script([("work", {})], "done")
    policies = {"work": ToolPolicy(on_resume="rerun")}
    found = [told_to(talk, talk.agent([tool(work)], policies=policies))["n"]]
    talk.crash()
    found.append(told_to(talk, talk.agent([tool(work)], policies=policies))["n"])
    assert found == [1, 1]


class Noting(FunctionAgent):
    """Changes the state in its own step, in ways that no store sees."""

    async def take_step(self, ctx: Any, llm_input: Any, tools: Any, memory: Any) -> Any:
        steps.append(1)
        held = await ctx.store.get("held", default=None)
        if held is None:
            held = {"steps": [], "n": 0}
            await ctx.store.set("held", held)
        held["steps"].append(len(held["steps"]))
        held["n"] += 1
        state = await ctx.store.get_state()
        state["whole"] = [*state.get("whole", []), held["n"]]
        await ctx.store.set_state(state)
        await ctx.store.set("held.deep", {"n": held["n"]})
        held["n"] += 10
        return await super().take_step(ctx, llm_input, tools, memory)


steps: list[int] = []


def test_what_an_agents_own_step_changes_without_writing_it_is_there_again(talk: Any) -> None:
    async def nothing(ctx: Any) -> None:
        pass

    def ended() -> dict[str, Any]:
        state = told_to(talk, talk.wrap(Noting(tools=[tool(nothing)], llm=talk.llm)))
        return {key: state[key] for key in ("held", "whole")}

    steps.clear()
    talk.script([("work", {})], [("work", {})], "done")
    live = ended()
    assert live == {
        "held": {"steps": [0, 1, 2], "n": live["held"]["n"], "deep": live["held"]["deep"]},
        "whole": live["whole"],
    }
    talk.crash()
    assert ended() == live
    assert len(steps) == 3, "it was replayed"


ROUNDS = 25


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_parallel_tools_do_the_replayed_state_is_the_live_one(talk: Any, seed: int) -> None:
    """Tools that get, change, set and edit at random, with other tools' changes in between."""
    dice = random.Random(seed)
    plans = {name: [dice.random() for _ in range(6)] for name in "abc"}
    yields = {name: [dice.randrange(4) for _ in range(12)] for name in "abc"}

    def writer(name: str) -> Any:
        async def write(ctx: Any) -> None:
            held: Any = None
            for i, die in enumerate(plans[name]):
                held = await one_step(ctx, name, int(die * 9), i, held)
                for _ in range(yields[name][i]):
                    await asyncio.sleep(0)

        return tool(write, name)

    talk.script([(name, {}) for name in "abc"], "done")
    tools = [writer(name) for name in "abc"]
    initial = {"log": [], "n": 0, "items": [{"n": 0}], "tags": {"x"}}

    def ended() -> dict[str, Any]:
        state = told_to(talk, talk.agent_of(tools, initial))
        return {key: state.get(key) for key in ("state", "log", "n", "own", "status")}

    talk.agent_of = lambda tools, initial: talk.wrap(talk.plain(tools, initial_state=initial))
    live = ended()
    talk.crash()
    assert ended() == live


async def one_step(ctx: Any, name: str, kind: int, i: int, held: Any) -> Any:
    store, mark = ctx.store, f"{name}{i}"
    if kind == 0:
        held = await store.get("state.log")
    elif kind == 1 and held is not None:
        held.append(mark)
    elif kind == 2:
        await store.set("n", 1 + await store.get("n", default=0))
    elif kind == 3:
        async with store.edit_state() as state:
            state["log"] = [*state.get("log", []), mark]
            await asyncio.sleep(0)
            state["state"]["n"] += 1
    elif kind == 4:
        await store.set("status", mark)
    elif kind == 5:
        items = await store.get("state.items")
        items[0]["n"] += 1
        items.append({"by": mark})
    elif kind == 6:
        await store.set(f"own.{name}.{i}", {"by": mark})
    elif kind == 7:
        tags = await store.get("state.tags")
        await store.set("state.tags", (tags | {mark}) - {"x"})
    else:
        state = await store.get_state()
        state["n"] = state.get("n", 0) + 1
        log = state.get("log", [])
        state["log"] = log[1:] if len(log) > 2 else [mark, *log]
        await store.set_state(state)
    return held
