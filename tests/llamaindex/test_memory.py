"""A memory after a resume holds what it holds when nothing happened, and what was archived was archived once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock
from llama_index.core.memory import BaseMemory, BaseMemoryBlock, ChatMemoryBuffer, Memory
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.workflow import Context
from pydantic import PrivateAttr

from toolslot import EventKind, ToolslotError
from toolslot_llamaindex._demo_agent import ScriptedLLM
from toolslot_llamaindex._memory import MemoryChange
from toolslot_llamaindex._memory_log import MemoryLog
from toolslot_llamaindex._values import ValueCodec


class NoAnswer(Exception):
    """The provider fails."""


class Archive(BaseMemoryBlock[str]):
    """Notes what is archived, where it outlives the process."""

    notes: list[str] = []
    _failing: list[Exception] = PrivateAttr(default_factory=list)

    async def _aget(self, messages: Any = None, **_: Any) -> str:
        return " ".join(self.notes)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        if self._failing:
            raise self._failing.pop()
        self.notes.extend(message.content or "" for message in messages)


def long(text: str) -> str:
    return f"{text} " * 8


def told() -> list[ChatMessage]:
    return [
        ChatMessage(role=role, content=long(f"{role}{i}")) for i in range(3) for role in ("user", "assistant")
    ]


class Chat:
    """A conversation in a database. `memory()` is that of a new process start; `archive` outlives them."""

    def __init__(self, folder: Path, *, blocks: bool) -> None:
        self.uri = f"sqlite+aiosqlite:///{folder / 'chat.db'}"
        self.archive = Archive(name="archive", notes=[])
        self.archive.notes = []
        self.blocks = blocks

    def memory(self) -> Memory:
        return Memory.from_defaults(
            session_id="s",
            async_database_uri=self.uri,
            memory_blocks=[self.archive] if self.blocks else [],
            token_limit=60,
            token_flush_size=16,
            tokenizer_fn=str.split,
        )

    async def begun(self) -> None:
        """There has been a conversation, part of which is archived."""
        memory = self.memory()
        for message in told():
            await memory.aput(message)
        await closed(memory)

    async def holds(self) -> dict[str, list[str]]:
        memory = self.memory()
        held = {
            status.value: [message.content or "" for message in await memory.aget_all(status=status)]
            for status in (MessageStatus.ACTIVE, MessageStatus.ARCHIVED)
        }
        await closed(memory)
        return {**held, "noted": list(self.archive.notes)}


async def closed(memory: Memory) -> None:
    store: Any = memory.sql_store
    await store._async_engine.dispose()


class Reading(ScriptedLLM):
    """Answers by what has been said since the last user spoke, whatever the memory makes of all before."""

    _read: list[list[str]] = PrivateAttr(default_factory=list)

    @property
    def read(self) -> list[list[str]]:
        """What it was told at each question."""
        return self._read

    def _answer(self, messages: Any) -> Any:
        self._read.append([message.content or "" for message in messages])
        last = max(i for i, message in enumerate(messages) if message.role.value == "user")
        return super()._answer(messages[last:])


class Life:
    """One run, which fails at the questions in `failing`, one in each process start, and then goes through."""

    def __init__(self, talk: Any, chat: Chat, *failing: int) -> None:
        self.talk, self.chat, self.failing = talk, chat, list(failing)
        talk.llm = Reading(
            [[("pay", {"i": 0}), ("pay", {"i": 1})], [("pay", {"i": 2})], long("done")], before=self._before
        )

    def _before(self, number: int) -> None:
        if self.failing and self.failing[0] == number:
            self.failing.pop(0)
            raise NoAnswer

    def start(self, *, plain: bool = False, memory: Any = None, tools: Any = (), **settings: Any) -> Any:
        """A process start."""

        async def pay(i: int) -> str:
            """Pays."""
            self.talk.effects.append(f"pay {i}")
            return long(f"paid{i}")

        async def main() -> Any:
            held = memory if memory is not None else self.chat.memory()
            try:
                if plain:
                    return await self.talk.plain([pay, *tools]).run(user_msg=long("go"), memory=held)
                agent = self.talk.agent([pay, *tools], **settings)
                return await agent.run(user_msg=long("go"), run_id="r-1", memory=held)
            finally:
                if isinstance(held, Memory):
                    await closed(held)

        return asyncio.run(main())

    def through(self, **settings: Any) -> None:
        """Until it is done, and once more."""
        while self.failing:
            with pytest.raises(NoAnswer):
                self.start(**settings)
        for _ in range(2):
            assert "done" in str(self.start(**settings))


def plain_life(talk: Any, folder: Path, *, blocks: bool, **settings: Any) -> Any:
    """What the chat holds after a run of a plain agent without any failure, and what its model was told at its last question."""
    life = Life(type(talk)(), asyncio.run(begun(folder, blocks=blocks)))
    life.start(plain=True, **settings)
    return asyncio.run(life.chat.holds()), life.talk.llm.read[-1]


async def begun(folder: Path, *, blocks: bool) -> Chat:
    await asyncio.to_thread(folder.mkdir)
    chat = Chat(folder, blocks=blocks)
    await chat.begun()
    return chat


@pytest.mark.parametrize("blocks", [False, True], ids=["plain", "with blocks"])
@pytest.mark.parametrize("failing", [(0,), (2,), (0, 0, 1)], ids=str)
def test_a_chat_in_a_database_is_in_the_end_as_if_nothing_had_happened(
    talk: Any, tmp_path: Path, failing: tuple[int, ...], blocks: bool
) -> None:
    expected = plain_life(talk, tmp_path / "plain", blocks=blocks)
    assert expected[0]["archived"], "the memory is full enough"
    life = Life(talk, asyncio.run(begun(tmp_path / "failing", blocks=blocks)), *failing)
    life.through()
    assert (asyncio.run(life.chat.holds()), talk.llm.read[-1]) == expected
    assert talk.effects == ["pay 0", "pay 1", "pay 2"]


def test_an_archive_that_failed_is_tried_again_by_the_resume(talk: Any, tmp_path: Path) -> None:
    expected = plain_life(talk, tmp_path / "plain", blocks=True)
    life = Life(talk, asyncio.run(begun(tmp_path / "failing", blocks=True)))
    life.chat.archive._failing.append(NoAnswer())
    with pytest.raises(NoAnswer):
        life.start()
    life.through()
    assert (asyncio.run(life.chat.holds()), talk.llm.read[-1]) == expected


def test_the_callers_memory_and_blocks_stay_as_they_were_and_tools_see_the_blocks_own_names(
    talk: Any, tmp_path: Path
) -> None:
    chat = asyncio.run(begun(tmp_path / "chat", blocks=True))
    memory, seen = chat.memory(), []

    async def look(ctx: Context) -> str:
        """Looks."""
        (block,) = (await ctx.store.get("memory")).memory_blocks
        seen.append((block.name, block.notes is chat.archive.notes, await block.aget()))
        return "looked"

    look.__annotations__["ctx"] = Context  # the framework wants the class itself
    life = Life(talk, chat)
    talk.llm._script[0] = [("look", {})]
    life.start(memory=memory, tools=[look])
    assert memory.memory_blocks == [chat.archive]
    assert memory.memory_blocks[0] is chat.archive
    assert seen[0][:2] == ("archive", True)
    assert seen[0][2]


def test_a_finished_run_with_a_tool_that_fills_the_memory_archives_nothing_again(
    talk: Any, tmp_path: Path
) -> None:
    async def note(ctx: Context, text: str) -> str:
        """Puts so much that some of it is archived."""
        memory = await ctx.store.get("memory")
        for i in range(3):
            await memory.aput(ChatMessage(role="user", content=long(f"{text}{i}")))
        return long("noted")

    note.__annotations__["ctx"] = Context  # the framework wants the class itself
    life, held = Life(talk, asyncio.run(begun(tmp_path / "chat", blocks=True))), []
    talk.llm._script = [[("note", {"text": "a"})], [("pay", {"i": i}) for i in range(4)], long("done")]
    for _ in range(2):
        life.start(tools=[note], max_parallel=1)
        held.append(asyncio.run(life.chat.holds()))
    assert long("a0") in held[0]["noted"], "the tool has filled it"
    assert held[1] == held[0]


def writers(held: list[Any]) -> list[Any]:
    """Tools that change the memory: `held` is how a program has it, the context how an agent gives it."""

    async def note(ctx: Context, text: str) -> str:
        """Puts a message."""
        memory = await ctx.store.get("memory")
        await memory.aput(ChatMessage(role="user", content=text, additional_kwargs={"by": (text,)}))
        return long("noted")

    async def forget() -> str:
        """Removes the second message."""
        messages = await held[-1].aget_all()
        await held[-1].aset([messages[0], *messages[2:]])
        return long("forgot")

    async def sum_up() -> str:
        """Puts one message in the place of all."""
        await held[-1].areset()
        await held[-1].aput(ChatMessage(role="user", content="in short"))
        return long("summed up")

    async def mend(text: str) -> str:
        """Changes a message where it is, without putting it there again; of a database that has no effect."""
        message = (await held[-1].aget_all())[0]
        message.blocks.append(TextBlock(text=text))
        message.additional_kwargs["mended"] = True
        return long("mended")

    note.__annotations__["ctx"] = Context  # the framework wants the class itself
    return [note, forget, sum_up, mend]


CHANGES: dict[str, list[Any]] = {
    "put": [[("note", {"text": "a"})]],
    "put twice at once": [[("note", {"text": "a"}), ("note", {"text": "b"})]],
    "removed": [[("forget", {})], [("pay", {"i": 0})]],
    "changed in place": [[("mend", {"text": "a"})], [("mend", {"text": "b"}), ("note", {"text": "c"})]],
    "replaced, then put": [[("sum_up", {})], [("note", {"text": "a"})]],
}


@pytest.mark.parametrize(
    ("kind", "what"),
    # Of two that put a message at once into a database, LlamaIndex itself may archive twice.
    [
        (kind, what)
        for kind in ("buffer", "database")
        for what in CHANGES
        if (kind, what) != ("database", "put twice at once")
    ],
)
def test_what_tools_changed_in_the_memory_holds_after_a_resume(
    talk: Any, tmp_path: Path, kind: str, what: str
) -> None:
    def memory(chat: Chat) -> Any:
        new = chat.memory() if kind == "database" else ChatMemoryBuffer.from_defaults(chat_history=told()[:2])
        held.append(new)
        return new

    def messages(chat: Chat) -> Any:
        return asyncio.run(chat.holds()) if kind == "database" else held[-1].get_all()

    held: list[Any] = []
    plain = Life(type(talk)(), asyncio.run(begun(tmp_path / "plain", blocks=False)))
    plain.talk.llm._script = [*CHANGES[what], long("done")]
    plain.start(plain=True, memory=memory(plain.chat), tools=writers(held))
    expected = messages(plain.chat), plain.talk.llm.read[-1]
    for failing in range(1, len(CHANGES[what]) + 1):
        life = Life(
            type(talk)(), asyncio.run(begun(tmp_path / str(failing), blocks=False)), *range(1, failing + 1)
        )
        life.talk.llm._script = [*CHANGES[what], long("done")]
        while life.failing:
            with pytest.raises(NoAnswer):
                life.start(memory=memory(life.chat), tools=writers(held), max_parallel=1)
        for _ in range(2):
            life.start(memory=memory(life.chat), tools=writers(held), max_parallel=1)
        assert (messages(life.chat), life.talk.llm.read[-1]) == expected


def test_what_a_call_that_was_in_flight_changed_in_the_memory_is_there_once_when_it_ran_again(
    talk: Any, tmp_path: Path
) -> None:
    chat, left = asyncio.run(begun(tmp_path / "chat", blocks=False)), [1]

    async def note(text: str) -> str:
        """Puts a message, and dies the first time when that is b."""
        await held[-1].aput(ChatMessage(role="user", content=text))
        if text == "b" and left:
            left.clear()
            talk.crash()
        return "noted"

    life, held = Life(talk, chat), [chat.memory()]
    talk.llm._script = [[("note", {"text": "a"}), ("note", {"text": "b"})], "done"]
    with pytest.raises(ToolslotError):
        life.start(memory=held[-1], tools=[note], max_parallel=1)
    held.append(chat.memory())
    life.start(memory=held[-1], tools=[note], max_parallel=1)
    messages = asyncio.run(chat.holds())
    assert [each for each in messages["archived"] + messages["active"] if each in ("a", "b")] == ["a", "b"]


PUTS: dict[str, Any] = {
    "aput": lambda memory, message: memory.aput(message),
    "aput_messages": lambda memory, message: memory.aput_messages([message]),
    "put": lambda memory, message: asyncio.sleep(0, memory.put(message)),
    "put in a thread": lambda memory, message: asyncio.to_thread(memory.put, message),
    "aset": lambda memory, message: added_by_aset(memory, message),
}


async def added_by_aset(memory: Any, message: ChatMessage) -> None:
    await memory.aset([*await memory.aget_all(), message])


class OwnMemory(ChatMemoryBuffer):
    """Its async methods run the sync ones in a thread, as the base class's do."""

    aput = BaseMemory.aput
    aput_messages = BaseMemory.aput_messages
    aset = BaseMemory.aset


@pytest.mark.parametrize(
    ("kind", "how"),
    [("buffer", how) for how in PUTS]
    + [("own", how) for how in PUTS]
    + [("database", "aput"), ("database", "aput_messages")],
)
def test_what_a_call_put_into_the_memory_before_it_died_is_not_its_siblings(
    talk: Any, tmp_path: Path, kind: str, how: str
) -> None:
    def memory() -> Any:
        cls = OwnMemory if kind == "own" else ChatMemoryBuffer
        return chat.memory() if kind == "database" else cls.from_defaults(chat_history=told()[:2])

    async def note(ctx: Context, text: str) -> str:
        """Puts a message. The first time a dies when b, which puts its own after it, has ended."""
        held = await ctx.store.get("memory")
        assert isinstance(held, BaseMemory)
        if text == "b":
            await put.wait()
        await PUTS[how](held, ChatMessage(role="user", content=text))
        if text == "a":
            put.set()
            while not talk.world.events.calls(EventKind.FINISHED):  # noqa: ASYNC110 - it is told by a list
                await asyncio.sleep(0)
            if left:
                left.clear()
                talk.crash()
        return "noted"

    note.__annotations__["ctx"] = Context  # the framework wants the class itself
    chat, left, put = asyncio.run(begun(tmp_path / "chat", blocks=False)), [1], asyncio.Event()
    life = Life(talk, chat)
    talk.llm._script = [[("note", {"text": "a"}), ("note", {"text": "b"})], "done"]
    with pytest.raises(ToolslotError):
        life.start(memory=memory(), tools=[note])
    for _ in range(2):
        put, last = asyncio.Event(), memory()
        life.start(memory=last, tools=[note])
        if kind == "database":
            found = asyncio.run(chat.holds())
            messages = found["archived"] + found["active"]
        else:
            messages = [message.content for message in last.get_all()]
        assert sorted(each for each in messages if each in ("a", "b")) == ["a", "b"]


def test_a_view_of_the_memory_is_the_memory_in_everything_and_is_not_kept(talk: Any) -> None:
    seen: list[Any] = []

    async def look(ctx: Context) -> str:
        """Looks at the memory, and puts it back where it was."""
        view = await ctx.store.get("memory")
        view.token_limit = 77
        await ctx.store.set("memory", view)
        copy = view.model_copy(deep=True)
        await copy.aput(ChatMessage(role="user", content="of the copy alone"))
        state = await ctx.store.get_state()
        seen.extend([view, state.get("memory"), len(copy.get_all()) - len(view.get_all())])
        return "looked"

    look.__annotations__["ctx"] = Context  # the framework wants the class itself
    memory = ChatMemoryBuffer.from_defaults()
    talk.script([("look", {})], "done")
    talk.run(talk.agent([look]), memory=memory)
    view, kept, more = seen
    assert isinstance(view, ChatMemoryBuffer)
    assert (type(view).__name__, view.chat_store is memory.chat_store) == ("ChatMemoryBuffer", True)
    assert kept is memory
    assert (memory.token_limit, more) == (77, 1)


def test_a_change_that_a_stored_context_holds_already_is_not_made_again() -> None:
    async def main() -> list[str]:
        values, memory = ValueCodec.of(), ChatMemoryBuffer.from_defaults(chat_history=told()[:2])
        log = MemoryLog(values)
        await log.watch(memory)
        await memory.aset([told()[0], ChatMessage(role="user", content="a")])
        (change,) = await log.ended(0, memory)
        assert MemoryChange.unpacked(change.packed()) == change
        for maybe_there in (True, False):
            await MemoryLog(values).again(memory, change, maybe_there=maybe_there)
        return [message.content or "" for message in memory.get_all()]

    assert asyncio.run(main()) == [long("user0"), "a", "a"]


def test_calls_that_end_while_the_memory_is_read_share_the_next_look() -> None:
    held: list[ChatMessage] = []
    looks, reading, go_on = 0, asyncio.Event(), asyncio.Event()

    class Slow:
        async def aget_all(self) -> list[ChatMessage]:
            nonlocal looks
            looks += 1
            found = list(held)
            if looks == 2:  # the one for the call that ends first
                reading.set()
                await go_on.wait()
            return found

    async def main() -> list[int]:
        log, memory = MemoryLog(ValueCodec.of()), Slow()
        await log.watch(memory)
        ends = [asyncio.create_task(log.ended(0, memory))]
        await reading.wait()
        held.append(ChatMessage(content="put by call 1"))
        ends += [asyncio.create_task(log.ended(index, memory)) for index in (1, 2)]
        await asyncio.sleep(0)  # both ask
        go_on.set()
        return [len(changes) for changes in await asyncio.gather(*ends)]

    assert asyncio.run(main()) == [0, 1, 0]
    assert looks == 3
