"""What a turn records of the lists in the workflow's state."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent

from toolslot import JsonCodec, UnreadablePayload
from toolslot_llamaindex._writes import Growing, Write, pack_writes, unpack_writes

CODEC = JsonCodec()


def put(lists: Growing, value: object, path: str = "notes") -> Write:
    """What is recorded of a value that is put there."""
    if isinstance(value, list):
        return lists.shortened(Write(path=path, items=tuple(map(CODEC.encode, value))))
    return lists.shortened(Write(path=path, data=CODEC.encode(value)))


def recorded(*values: object) -> list[Write]:
    """What one turn after the other records of a value."""
    lists, writes = Growing(), list[Write]()
    for value in values:
        lists = lists.next()
        writes.append(put(lists, value))
    return writes


def read(writes: list[Write]) -> list[object]:
    """The values that these records give, turn by turn, after they were stored."""
    lists, values = Growing(), list[object]()
    for write in writes:
        lists = lists.next()
        (whole,) = lists.whole(unpack_writes(pack_writes([write])))
        if whole.items is not None:
            values.append([CODEC.decode(item) for item in whole.items])
        else:
            values.append(None if whole.data is None else CODEC.decode(whole.data))
    return values


HISTORIES: dict[str, list[Any]] = {
    "it grows": [["a"], ["a", "b"], ["a", "b", "c", "d"]],
    "it is the same": [["a", "b"], ["a", "b"]],
    "its first item is changed in place": [[{"n": 1}, {"n": 2}], [{"n": 9}, {"n": 2}, {"n": 3}]],
    "its last item is changed in place": [[{"n": 1}, {"n": 2}], [{"n": 1}, {"n": 9}]],
    "an item is put before": [["a", "b"], ["z", "a", "b"]],
    "it becomes shorter and grows again": [["a", "b", "c"], ["a"], ["a", "b", "c"]],
    "it is emptied": [["a"], [], ["b"]],
    "it becomes something else": [["a"], "text", ["a", "b"], None, {"a": 1}],
    "equal items of other types": [[1, 1.0, True], [True, 1.0, 1]],
}


@pytest.mark.parametrize("values", HISTORIES.values(), ids=HISTORIES.keys())
def test_whatever_becomes_of_a_list_it_is_read_as_it_was(values: list[Any]) -> None:
    found = read(recorded(*values))
    assert found == values
    assert repr(found) == repr(values)


def test_only_what_is_new_is_recorded() -> None:
    first, second, third = recorded(["a"], ["a", "b"], ["a", "b", "c"])
    assert [(write.kept, len(write.items or ())) for write in (first, second, third)] == [
        (0, 1),
        (1, 1),
        (2, 1),
    ]


def test_lists_of_two_paths_are_two_lists() -> None:
    lists = Growing().next()
    put(lists, [1], "a")
    assert put(lists, [1, 2], "b").kept == 0
    assert put(lists.next(), [1, 2], "a").kept == 1


@pytest.mark.parametrize(
    "write",
    [Write(path="notes"), Write(path=None)],
    ids=["the value is removed", "everything is"],
)
def test_what_was_changed_in_another_way_is_recorded_whole_again(write: Write) -> None:
    lists = Growing().next()
    put(lists, ["a"])
    assert lists.shortened(write) == write
    assert put(lists, ["a", "b"]).kept == 0


def test_a_turn_that_was_not_recorded_changes_nothing_for_the_next_try() -> None:
    lists = Growing().next()
    put(lists, ["a"])
    put(lists.next(), ["a", "never recorded"])
    write = put(lists.next(), ["a", "b"])
    assert (write.kept, write.items) == (1, (CODEC.encode("b"),))


@pytest.mark.parametrize("kept", [1, 5])
def test_a_record_that_adds_to_nothing_is_refused(kept: int) -> None:
    write = Write(path="notes", kept=kept, items=(b"x",))
    with pytest.raises(UnreadablePayload, match=f"a list of {kept} items"):
        Growing().next().whole([write])


def test_records_from_before_lists_grew_are_read() -> None:
    assert unpack_writes([["a", "Im4i", False]]) == (Write(path="a", data=b'"n"'),)


TURNS = 5


def script(talk: Any, **settings: Any) -> None:
    calls = [[("look", {"i": 2 * turn}), ("look", {"i": 2 * turn + 1})] for turn in range(TURNS)]
    talk.script(*calls, "done", **settings)


async def look(i: int) -> str:
    """Looks."""
    return f"{i}: " + "x" * 500


def heard_without_toolslot(talk: Any) -> list[Any]:
    script(talk)
    talk.run(talk.plain([look]))
    return list(talk.llm.heard[-1])


@pytest.mark.parametrize("turn", range(1, TURNS + 1))
def test_a_resumed_agent_asks_the_model_what_it_would_have_asked(talk: Any, turn: int) -> None:
    expected = heard_without_toolslot(talk)
    away = [True]

    def before(number: int) -> None:
        if number == turn and away:
            away.clear()
            raise ConnectionError("the provider is away")

    script(talk, before=before)
    with pytest.raises(Exception, match="the provider is away"):
        talk.run(talk.agent([look]))
    talk.crash()
    assert str(talk.run(talk.agent([look]))) == "done"
    assert talk.llm.heard[-1] == expected
    assert talk.llm.asked == TURNS + 2


def test_what_a_turn_takes_does_not_grow_with_the_turns_before_it(talk: Any) -> None:
    script(talk)
    talk.run(talk.agent([look]))
    sizes = [len(state.manifest.payload or b"") for state in talk.world.store.batches.values()]
    assert len(sizes) == TURNS + 1
    assert max(sizes[1:]) < 1.5 * sizes[1]


class Tidying(FunctionAgent):
    """Keeps notes in the state. One write is refused; another comes from a task that outlives its step, when that is recorded already."""

    async def take_step(self, ctx: Any, llm_input: Any, tools: Any, memory: Any) -> Any:
        notes = list(await ctx.store.get("notes", default=[]))
        output = await super().take_step(ctx, llm_input, tools, memory)
        notes += [f"a{len(notes)}", f"b{len(notes)}"]
        with suppress(AttributeError):
            await ctx.store.set("notes.0.impossible", ["never", "there"])
        await ctx.store.set("notes", list(notes))
        taken.append(list(notes))

        async def tidy() -> None:
            await tidying.wait()
            tidying.clear()
            await ctx.store.set("notes", ["tidied", *notes[1:]])
            tidied.set()

        tasks.append(asyncio.get_running_loop().create_task(tidy()))
        return output


taken: list[list[str]] = []
tasks: list[asyncio.Task[None]] = []
tidying, tidied = asyncio.Event(), asyncio.Event()


def test_a_write_that_comes_after_its_step_was_recorded_is_not_taken_for_a_part_of_it(talk: Any) -> None:
    async def wait(i: int) -> str:
        """Waits for the tidying."""
        tidying.set()
        await tidied.wait()
        tidied.clear()
        return str(i)

    async def notes(agent: Any) -> list[str]:
        global tidying, tidied
        tidying, tidied = asyncio.Event(), asyncio.Event()
        handler = agent.run(user_msg="go", run_id="r-1")
        await handler
        for task in tasks:
            task.cancel()
        tasks.clear()
        found: list[str] = await handler.ctx.store.get("notes")
        return found

    taken.clear()
    talk.script([("wait", {"i": 0})], [("wait", {"i": 1})], "done")
    asyncio.run(notes(talk.wrap(Tidying(tools=[wait], llm=talk.llm))))
    talk.crash()
    assert len(taken) == 3
    assert asyncio.run(notes(talk.wrap(Tidying(tools=[wait], llm=talk.llm)))) == taken[-1]
    assert len(taken) == 3, "it was replayed"
