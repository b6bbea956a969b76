"""What an agent's memory holds, as bytes, and a memory made to hold that again."""

from __future__ import annotations

from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store.base_db import MessageStatus

from toolslot import JsonCodec
from toolslot_llamaindex._values import ValueCodec

#: of a memory without messages
EMPTY = JsonCodec().encode([list[object](), list[object]()])


async def held_by(memory: Any, values: ValueCodec) -> bytes:
    """The messages that the agent is given, and those that have gone to the memory's blocks."""
    held: list[list[ChatMessage]]
    if isinstance(memory, Memory):
        held = [
            await memory.aget_all(status=status) for status in (MessageStatus.ACTIVE, MessageStatus.ARCHIVED)
        ]
    else:
        held = [await memory.aget_all(), []]
    return values.keep(held).data


async def set_back(memory: Any, held: bytes, values: ValueCodec) -> None:
    """Make the memory hold this. What went to the blocks does not go there again.

    Raises:
        NotRestorable: a message cannot be made again here.
    """
    active, archived = cast("list[list[ChatMessage]]", values.decode(held))
    if not isinstance(memory, Memory):
        await memory.aset(active)
        return
    await memory.aset(archived)
    # In this order, for the store sorts them by when they came.
    store, session = memory.sql_store, memory.session_id
    if archived:
        await store.archive_oldest_messages(session, len(archived))
    if active:
        await store.add_messages(session, active)
