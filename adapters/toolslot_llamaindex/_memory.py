"""What an agent's memory holds, as bytes, a memory made to hold that again, and the record of a change in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store.base_db import MessageStatus

from toolslot import JsonCodec
from toolslot_llamaindex._packing import bytes_of, text_of
from toolslot_llamaindex._values import ValueCodec

#: a message, and whether it has gone to the memory's blocks
Item: TypeAlias = "tuple[bool, ChatMessage]"

#: of a memory without messages
EMPTY = JsonCodec().encode([list[object](), list[object]()])


async def held_by(memory: Any, values: ValueCodec) -> bytes:
    """The messages that the agent is given, and those that have gone to the memory's blocks."""
    items = await read(memory)
    return values.keep([[message for gone, message in items if gone is kind] for kind in (False, True)]).data


async def set_back(memory: Any, held: bytes, values: ValueCodec) -> None:
    """Make the memory hold this. What went to the blocks does not go there again.

    Raises:
        NotRestorable: a message cannot be made again here.
    """
    active, archived = cast("list[list[ChatMessage]]", values.decode(held))
    await write(memory, [*((True, each) for each in archived), *((False, each) for each in active)])


async def read(memory: Any) -> list[Item]:
    """All messages, those that have gone to the blocks first."""
    if not isinstance(memory, Memory):
        return [(False, message) for message in await memory.aget_all()]
    archived = await memory.aget_all(status=MessageStatus.ARCHIVED)
    active = await memory.aget_all(status=MessageStatus.ACTIVE)
    return [*((True, each) for each in archived), *((False, each) for each in active)]


async def write(memory: Any, items: Sequence[Item]) -> None:
    """Make the memory hold these and no others."""
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

    `number` is its place among the changes that the calls of one answer made.
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
            [text_of(each) for each in self.added],
        ]

    @classmethod
    def unpacked(cls, data: Any) -> MemoryChange:
        """The change; raises whatever damaged data makes it raise."""
        number, at, removed, added = data
        return cls(
            number=number,
            at=at,
            removed=tuple(removed),
            added=tuple(bytes_of(each) for each in added),
        )
