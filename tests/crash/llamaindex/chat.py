"""A real LlamaIndex agent whose memory is a chat in a database with a block for what is archived, in a process that a test kills.

It says where it is and waits there: at the `--at`th question, or once its tool has put a message into the memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diskcache as _diskcache  # noqa: F401 - loaded before the fork
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemoryBlock, Memory
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.utils import get_tokenizer

from support.ledger import Ledger
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

get_tokenizer()  # half of a life's work otherwise: all forks share it


class Archive(BaseMemoryBlock[str]):
    """Notes what is archived in a ledger."""

    ledger: Any

    async def _aget(self, messages: Any = None, **_: Any) -> str:
        return ""

    async def _aput(self, messages: list[ChatMessage]) -> None:
        for message in messages:
            self.ledger.note("archived", (message.content or "").split()[0])


def long(text: str) -> str:
    return f"{text} " * 8


def wait_for_the_end() -> None:
    print("THERE", flush=True)
    threading.Event().wait()


async def live(args: argparse.Namespace) -> dict[str, Any]:
    folder, ledger = Path(args.folder), Ledger(Path(args.folder) / "ledger")
    memory = Memory.from_defaults(
        session_id="s",
        async_database_uri=f"sqlite+aiosqlite:///{folder / 'chat.db'}",
        memory_blocks=[Archive(name="archive", ledger=ledger)],
        token_limit=60,
        token_flush_size=16,
        tokenizer_fn=str.split,
    )
    asked = 0

    def before(_: int) -> None:
        nonlocal asked
        asked += 1
        if args.at == asked:
            wait_for_the_end()

    async def note(text: str) -> str:
        """Puts a message into the memory."""
        await memory.aput(ChatMessage(role="user", content=long(text)))
        return long("noted")

    class Reading(ScriptedLLM):
        def _answer(self, messages: Any) -> Any:
            last = max(i for i, message in enumerate(messages) if message.role.value == "user")
            return super()._answer(messages[last:])

    llm = Reading([[("note", {"text": "note"})], long("done")], before=before)
    agent = FunctionAgent(tools=[note], llm=llm)
    if args.begin:
        for i in range(3):
            await memory.aput(ChatMessage(role="user", content=long(f"user{i}")))
            await memory.aput(ChatMessage(role="assistant", content=long(f"assistant{i}")))
    elif args.plain:
        await agent.run(user_msg=long("go"), memory=memory)
    else:
        made = durable(agent, journal=folder / "journal")
        await made.run(user_msg=long("go"), memory=memory, run_id="r")
    held = {
        status.value: [
            (message.content or "").split()[:1] for message in await memory.aget_all(status=status)
        ]
        for status in (MessageStatus.ACTIVE, MessageStatus.ARCHIVED)
    }
    store: Any = memory.sql_store
    await store._async_engine.dispose()
    return {**held, "ledger": [line for line in ledger.lines() if line.startswith("archived")]}


def main(args: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--begin", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--at", type=int, default=0)
    print(json.dumps(asyncio.run(live(parser.parse_args(args)))), flush=True)
