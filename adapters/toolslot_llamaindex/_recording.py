"""What a step or a tool writes into the workflow's state, written down so that it can be written again when the call is replayed."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from llama_index.core.agent.workflow.workflow_events import AgentOutput, AgentSetup, ToolCall, ToolCallResult
from llama_index.core.workflow import Context, Event
from typing_extensions import override

from toolslot import Codec, ToolslotError
from toolslot_llamaindex._compat import another_view
from toolslot_llamaindex._growing import Growing
from toolslot_llamaindex._writes import Write

log = logging.getLogger("toolslot")

#: the agent's memory: it is rebuilt from the messages, never taken from the state
MEMORY = "memory"


class RecordingContext(Context[Any]):
    """The step's context; it writes down what is written into the state, and keeps the step's own result back until it is durable.

    With `lists`, of a list only what is new is written down.
    """

    _writes: list[Write]
    _held: list[Event]
    _codec: Codec
    _lists: Growing | None
    _own: Callable[[Event], bool]
    #: the step's result, where it was not returned but sent
    sent: Event | None

    @classmethod
    def over(
        cls,
        ctx: Context[Any],
        codec: Codec,
        lists: Growing | None = None,
        *,
        own: Callable[[Event], bool],
    ) -> RecordingContext:
        """A view of `ctx`. `own` says which event is the step's result: what is forwarded of other agents goes to the stream at once."""
        new = another_view(cls, ctx)
        new._writes, new._held, new._codec, new._lists, new._own = [], [], codec, lists, own
        new.sent = None
        return new

    def for_tool(self) -> RecordingContext:
        """The same for the tool's own code: whatever that streams, the step's result it is not."""
        new = another_view(RecordingContext, self)
        new._writes, new._held, new._codec, new._lists = self._writes, self._held, self._codec, self._lists
        new._own, new.sent = _none, None
        return new

    @property
    def writes(self) -> tuple[Write, ...]:
        return tuple(self._writes)

    @property
    def held(self) -> tuple[Event, ...]:
        """What was kept back."""
        return tuple(self._held)

    @property
    @override
    def store(self) -> Any:
        return _RecordingStore(super().store, self._writes, self._codec, self._lists)

    @override
    def send_event(self, message: Event, step: str | None = None) -> None:
        if self._own(message):
            self.sent = message
        else:
            super().send_event(message, step)

    @override
    def write_event_to_stream(self, ev: Event | None) -> None:
        # Nobody may see an answer that a crash could still take back.
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


class _RecordingStore:
    """The state store; what it does not record it passes on."""

    def __init__(self, store: Any, writes: list[Write], codec: Codec, lists: Growing | None) -> None:
        self._store, self._writes, self._codec, self._lists = store, writes, codec, lists

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def set(self, path: str, value: Any) -> None:
        # Encoded now: agents go on appending to the lists that they have put here.
        write = None if path == MEMORY else _encoded(path, value, self._codec, grows=self._lists is not None)
        await self._store.set(path, value)
        if write is not None:
            self._note(write)

    async def clear(self) -> None:
        await self._store.clear()
        self._note(Write(path=None))

    async def set_state(self, state: Any) -> None:
        before = _snapshot(await self._store.get_state(), self._codec)
        await self._store.set_state(state)
        self._compare(before, await self._store.get_state())

    @asynccontextmanager
    async def edit_state(self) -> AsyncGenerator[Any]:
        async with self._store.edit_state() as state:
            before = _snapshot(state, self._codec)
            yield state
            self._compare(before, state)

    def _compare(self, before: Mapping[str, bytes | int], state: Any) -> None:
        items = _items(state)
        for key, value in items.items():
            if before.get(key) != _fingerprint(value, self._codec):
                self._note(_encoded(key, value, self._codec))
        for key in before.keys() - items.keys():
            self._note(Write(path=key))

    def _note(self, write: Write) -> None:
        self._writes.append(write if self._lists is None else self._lists.shortened(write))


def _encoded(path: str, value: object, codec: Codec, *, grows: bool = False) -> Write:
    try:
        kind: type = type(value)
        if grows and kind is list:
            return Write(path=path, items=tuple(map(codec.encode, cast("list[object]", value))))
        return Write(path=path, data=codec.encode(value))
    except ToolslotError:
        log.warning(
            "toolslot.state_not_storable path=%r: a %s was written into the workflow's state, which cannot be stored, so it will be"
            " missing after a replay. Name its class in allowed_types=.",
            path,
            type(value).__name__,
        )
        return Write(path=path, lost=True)


def _fingerprint(value: object, codec: Codec) -> bytes | int:
    try:
        return codec.encode(value)
    except ToolslotError:
        return id(value)


def _snapshot(state: Any, codec: Codec) -> dict[str, bytes | int]:
    return {key: _fingerprint(value, codec) for key, value in _items(state).items()}


def _items(state: Any) -> dict[str, Any]:
    """The state's top level, without the memory; of a typed state its fields."""
    fields = cast("Mapping[str, Any]", getattr(cast("object", type(state)), "model_fields", {}))
    items = {name: getattr(state, name) for name in fields}
    data: object = getattr(state, "_data", None)
    if isinstance(data, dict):
        items |= cast("dict[str, Any]", data)
    items.pop(MEMORY, None)
    return items


async def apply(writes: Iterable[Write], ctx: Context[Any], codec: Codec) -> None:
    """Write again what was recorded, lists in full."""
    store: Any = ctx.store
    for write in writes:
        if write.lost:
            log.warning(
                "toolslot.state_not_replayed path=%r: a replayed call wrote a value into the workflow's state that could not be stored;"
                " the state is without it.",
                write.path,
            )
        elif write.path is None:
            await store.clear()
        elif write.items is not None:
            await store.set(write.path, [codec.decode(item) for item in write.items])
        elif write.data is not None:
            await store.set(write.path, codec.decode(write.data))
        else:
            await _remove(store, write.path)


async def _remove(store: Any, key: str) -> None:
    async with store.edit_state() as state:
        data: object = getattr(state, "_data", None)
        if isinstance(data, dict):
            cast("dict[str, Any]", data).pop(key, None)


async def captured(ctx: Context[Any], codec: Codec) -> tuple[Write, ...]:
    """The state as it is now, as far as it can be stored; without the memory and without our own note."""
    found: list[Write] = []
    for key, value in _items(await ctx.store.get_state()).items():
        try:
            found.append(Write(path=key, data=codec.encode(value)))
        except ToolslotError:
            continue  # a model or a connection that the program puts there at each start
    return tuple(found)
