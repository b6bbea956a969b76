"""What a step or a tool writes into the workflow's state, written down so that it can be written again when the call is replayed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from llama_index.core.agent.workflow.workflow_events import AgentOutput, AgentSetup, ToolCall, ToolCallResult
from llama_index.core.workflow import Context, Event
from typing_extensions import override

from toolslot import Codec, ToolslotError
from toolslot_llamaindex._compat import another_view
from toolslot_llamaindex._edits import MISSING
from toolslot_llamaindex._state import MEMORY, items_of, top_of, write
from toolslot_llamaindex._writes import Growing, Write


class RecordingContext(Context[Any]):
    """The step's context; what it does to the state is recorded, and its own result is kept back until that is durable."""

    _recorder: Any
    _held: list[Event]
    _own: Callable[[Event], bool]
    #: the step's result, where it was not returned but sent
    sent: Event | None
    #: the tool's code was not entered: its function does not take the model's arguments
    not_entered: bool

    @classmethod
    def over(cls, ctx: Context[Any], recorder: Any, *, own: Callable[[Event], bool]) -> RecordingContext:
        """A view of `ctx` with the store `recorder`.

        `own` says which event is the step's result: what is forwarded of other agents goes to the stream at once.
        """
        new = another_view(cls, ctx)
        new._recorder, new._held, new._own, new.sent, new.not_entered = recorder, [], own, None, False
        return new

    def for_tool(self) -> RecordingContext:
        """The same for the tool's own code: whatever that streams, the step's result it is not."""
        return RecordingContext.over(self, self._recorder, own=_none)

    @property
    @override
    def store(self) -> Any:
        return self._recorder

    @property
    def held(self) -> tuple[Event, ...]:
        """What was kept back."""
        return tuple(self._held)

    @override
    def send_event(self, message: Event, step: str | None = None) -> None:
        if self._own(message):
            self.sent = message
        else:
            super().send_event(message, step)

    @override
    def write_event_to_stream(self, ev: Event | None) -> None:
        # An answer that a crash could still take back is not shown.
        if ev is not None and self._own(ev):
            self._held.append(ev)
        else:
            super().write_event_to_stream(ev)


def own_output(setup: AgentSetup) -> Callable[[Event], bool]:
    """Which event is the answer of the agent that is set up so."""
    return lambda ev: isinstance(ev, AgentOutput) and ev.current_agent_name == setup.current_agent_name


def own_result(call: ToolCall) -> Callable[[Event], bool]:
    """Which event is the result of this call."""
    return lambda ev: (
        isinstance(ev, ToolCallResult) and (ev.tool_id, ev.tool_name) == (call.tool_id, call.tool_name)
    )


def _none(_: Event) -> bool:
    return False


class StepStore:
    """The state store, as the agent's step sees it. Of lists it records what is new.

    What the step changes without writing it is seen when it is over. Not so in `always_written`: what the framework's agents keep there
    they write, and it is long.
    """

    def __init__(
        self, store: Any, codec: Codec, lists: Growing, always_written: Collection[str] = ()
    ) -> None:
        self._store, self._codec, self._lists = store, codec, lists
        self._unwatched = {MEMORY, *always_written}
        self._writes: list[Write] = []
        #: what the step has seen, or put there itself; None for nothing
        self._seen: dict[str, Write | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _items(self) -> dict[str, Any]:
        return items_of(await self._store.get_state())

    async def get(self, path: str, *default: Any, **named: Any) -> Any:
        found = await self._store.get(path, *default, **named)
        self._look(await self._items(), [top_of(path)] if path else None)
        return found

    async def get_state(self) -> Any:
        state = await self._store.get_state()
        self._look(items_of(state))
        return state

    async def set(self, path: str, value: Any) -> None:
        key, *deeper = path.split(".")
        if deeper:
            self._compare(await self._items(), [key])
        # Encoded now: agents go on appending to the lists that they have put here.
        encoded = None if key == MEMORY else _encoded(path, value, self._codec)
        await self._store.set(path, value)
        if encoded is None:
            return
        self._note(encoded)
        if deeper:
            self._seen.pop(key, None)
            self._look(await self._items(), [key])
        elif key not in self._unwatched:
            self._seen[key] = encoded

    async def clear(self) -> None:
        await self._store.clear()
        self._note(Write(path=None))
        self._seen.clear()

    async def set_state(self, state: Any) -> None:
        self._look(await self._items())
        await self._store.set_state(state)
        self._compare(await self._items())

    @asynccontextmanager
    async def edit_state(self) -> AsyncGenerator[Any]:
        async with self._store.edit_state() as state:
            self._look(items_of(state))
            yield state
        self._compare(items_of(state))

    async def ended(self) -> tuple[Write, ...]:
        """All that the step has changed."""
        if self._seen:
            self._compare(await self._items(), list(self._seen))
        return tuple(self._writes)

    def _look(self, items: Mapping[str, Any], keys: Iterable[str] | None = None) -> None:
        for key in items if keys is None else keys:
            if key not in self._unwatched and key not in self._seen:
                self._seen[key] = self._at(items, key)

    def _at(self, items: Mapping[str, Any], key: str) -> Write | None:
        return _encoded(key, items[key], self._codec) if key in items else None

    def _compare(self, items: Mapping[str, Any], keys: Iterable[str] | None = None) -> None:
        for key in {**self._seen, **items} if keys is None else keys:
            if key in self._unwatched:
                continue
            now = self._at(items, key)
            if key in self._seen and self._seen[key] != now:
                self._note(now or Write(path=key))
            self._seen[key] = now

    def _note(self, write: Write) -> None:
        self._writes.append(self._lists.shortened(write))


def _encoded(path: str, value: object, codec: Codec) -> Write:
    kind: type = type(value)
    if kind is list:
        return Write(path=path, items=tuple(map(codec.encode, cast("list[object]", value))))
    return Write(path=path, data=codec.encode(value))


async def apply(writes: Iterable[Write], ctx: Context[Any], codec: Codec) -> None:
    """Write again what was recorded, lists in full."""
    store: Any = ctx.store
    for each in writes:
        if each.path is None:
            await store.clear()
        elif each.items is not None:
            await store.set(each.path, [codec.decode(item) for item in each.items])
        elif each.data is not None:
            await store.set(each.path, codec.decode(each.data))
        else:
            await write({each.path: MISSING}, store)


async def captured(ctx: Context[Any], codec: Codec) -> tuple[Write, ...]:
    """The state as it is now, as far as it can be stored; without the memory and without our own note."""
    found: list[Write] = []
    for key, value in items_of(await ctx.store.get_state()).items():
        try:
            found.append(Write(path=key, data=codec.encode(value)))
        except ToolslotError:
            continue  # a model or a connection that the program puts there at each start
    return tuple(found)
