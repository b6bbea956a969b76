"""What an agent's memory holds, as bytes, a memory made to hold that again, and what calls have changed in it."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store.base_db import MessageStatus

from toolslot import JsonCodec
from toolslot_llamaindex._values import ValueCodec

log = logging.getLogger("toolslot")

#: a message, and whether it has gone to the memory's blocks
Item: TypeAlias = "tuple[bool, ChatMessage]"

#: of a memory without messages
EMPTY = JsonCodec().encode([list[object](), list[object]()])


async def held_by(memory: Any, values: ValueCodec) -> bytes:
    """The messages that the agent is given, and those that have gone to the memory's blocks."""
    items = await _read(memory)
    return values.keep([[message for gone, message in items if gone is kind] for kind in (False, True)]).data


async def set_back(memory: Any, held: bytes, values: ValueCodec) -> None:
    """Make the memory hold this. What went to the blocks does not go there again.

    Raises:
        NotRestorable: a message cannot be made again here.
    """
    active, archived = cast("list[list[ChatMessage]]", values.decode(held))
    await _write(memory, [*((True, each) for each in archived), *((False, each) for each in active)])


async def _read(memory: Any) -> list[Item]:
    if not isinstance(memory, Memory):
        return [(False, message) for message in await memory.aget_all()]
    archived = await memory.aget_all(status=MessageStatus.ARCHIVED)
    active = await memory.aget_all(status=MessageStatus.ACTIVE)
    return [*((True, each) for each in archived), *((False, each) for each in active)]


async def _write(memory: Any, items: Sequence[Item]) -> None:
    active = [message for gone, message in items if not gone]
    if not isinstance(memory, Memory):
        await memory.aset(active)
        return
    archived = [message for gone, message in items if gone]
    await memory.aset(archived)
    # In this order, for the store sorts them by when they came.
    store, session = memory.sql_store, memory.session_id
    if archived:
        await store.archive_oldest_messages(session, len(archived))
    if active:
        await store.add_messages(session, active)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryChange:
    """What a call changed: from `at` on, messages with the digests in `removed` are gone, and the kept ones in `added` have come.

    `number` is its place among the changes of the calls of one answer.
    """

    number: int
    at: int
    removed: tuple[str, ...]
    added: tuple[bytes, ...]

    def packed(self) -> list[Any]:
        return [
            self.number,
            self.at,
            list(self.removed),
            [base64.b64encode(each).decode() for each in self.added],
        ]

    @classmethod
    def unpacked(cls, data: Any) -> MemoryChange | None:
        if data is None:
            return None
        number, at, removed, added = data
        return cls(
            number=number,
            at=at,
            removed=tuple(removed),
            added=tuple(base64.b64decode(each, validate=True) for each in added),
        )


class MemoryLog:
    """What the calls of one answer of the model change in the memory, whichever way they have it.

    What is different when a call ends counts for that call, also where another one, which still runs, has done it.
    """

    def __init__(self, values: ValueCodec) -> None:
        self._values = values
        #: digests, for a message may be changed where it is, and is the same object then
        self._seen: list[str] | None = None
        self._number = 0
        self._lock = asyncio.Lock()

    async def watch(self, memory: Any) -> None:
        """Before a call: the first time, look at what is there."""
        async with self._lock:
            if self._seen is None and memory is not None:
                items = await self._look(memory)
                self._seen = None if items is None else self._digests(items)

    async def changed(self, memory: Any) -> MemoryChange | None:
        """After a call: what is different since the last look."""
        async with self._lock:
            before, items = self._seen, None if memory is None else await self._look(memory)
            if before is None or items is None:
                return None
            now = self._digests(items)
            if before == now:
                return None
            self._seen = now
            change = self._difference(before, now, items)
            self._number += 1
            return change

    async def again(self, memory: Any, change: MemoryChange, *, maybe_there: bool = False) -> None:
        """Change the memory as a recorded call has changed it; with `maybe_there` unless it looks as if it were changed already.

        Raises:
            NotRestorable: a message that the call put there cannot be made again here.
        """
        added = cast("list[Item]", [self._values.decode(each) for each in change.added])
        async with self._lock:
            items = await _read(memory)
            digests, come = self._digests(items), self._digests(added)
            if maybe_there and set(come) <= set(digests) and set(change.removed).isdisjoint(digests):
                return
            last = change.at + len(change.removed)
            if tuple(digests[change.at : last]) == change.removed:
                items[change.at : last] = added
            else:
                # A sibling's change comes in another order than it was made in.
                for gone in change.removed:
                    if gone in digests:
                        place = digests.index(gone)
                        del items[place], digests[place]
                items[change.at : change.at] = added
            await _write(memory, items)
            # Read again: a database does not give everything back as it got it.
            self._seen = self._digests(await _read(memory))
            self._number = max(self._number, change.number + 1)

    async def _look(self, memory: Any) -> list[Item] | None:
        try:
            return await _read(memory)
        except Exception as error:
            log.warning(
                "toolslot.memory_unread: the messages in the agent's memory could not be read (%s), so what tools change in it is not"
                " recorded.",
                type(error).__name__,
            )
            return None

    def _digests(self, items: Sequence[Item]) -> list[str]:
        return [self._values.digest(each) for each in items]

    def _difference(self, before: Sequence[str], now: Sequence[str], items: Sequence[Item]) -> MemoryChange:
        first = 0
        while first < min(len(before), len(now)) and before[first] == now[first]:
            first += 1
        last = 0
        while last < min(len(before), len(now)) - first and before[-1 - last] == now[-1 - last]:
            last += 1
        return MemoryChange(
            number=self._number,
            at=first,
            removed=tuple(before[first : len(before) - last]),
            added=tuple(self._values.keep(each).data for each in items[first : len(now) - last]),
        )
