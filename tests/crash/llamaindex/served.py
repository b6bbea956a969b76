"""A durable agent behind LlamaIndex's server with a store of its own. Its second payment hangs in its first life."""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
from llama_agents.server import SqliteWorkflowStore, WorkflowServer
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.workflow import Context
from workflows.context.serializers import JsonSerializer

from support.gate import say
from support.ledger import Ledger
from toolslot import BatchEvent, CallEvent, EventKind, ToolPolicy
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

ASK = {"start_event": {"user_msg": "go", "chat_history": [], "max_iterations": 20}, "handler_id": "order-17"}


def agent(folder: Path, life: int) -> Any:
    ledger, began = Ledger(folder / "ledger"), threading.Event()

    def told(event: CallEvent | BatchEvent) -> None:
        if (
            isinstance(event, CallEvent)
            and (event.kind, event.index) == (EventKind.FINISHED, 1)
            and began.is_set()
        ):
            say("INSIDE")

    async def pay(ctx: Context, i: int) -> str:
        """Pays."""
        ledger.note("pay", str(i), life)
        async with ctx.store.edit_state() as state:
            state["paid"] = [*state.get("paid", []), i]
        if life == 1 and i == 2:
            began.set()
            await asyncio.Event().wait()
        return f"paid {i}"

    pay.__annotations__["ctx"] = Context
    script: Any = [[("pay", {"i": 1})], [("pay", {"i": 2}), ("pay", {"i": 3})], "done"]
    plain = FunctionAgent(tools=[pay], llm=ScriptedLLM(script))
    policy = ToolPolicy(on_unknown="rerun")
    return durable(plain, journal=folder / "journal", default_policy=policy, hooks=[told])


async def live(folder: Path, life: int) -> dict[str, Any]:
    store = SqliteWorkflowStore(str(folder / "runs.db"))
    host = WorkflowServer(
        workflow_store=store, serializer=JsonSerializer()
    )  # the default one takes no memory
    host.add_workflow("agent", agent(folder, life))
    transport = httpx.ASGITransport(host.app)
    async with (
        host.app.router.lifespan_context(host.app),
        httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60) as client,
    ):
        if life == 1:
            await client.post("/workflows/agent/run-nowait", json=ASK)
        async with client.stream("GET", "/events/order-17?sse=false") as events:
            async for _ in events.aiter_lines():
                pass
        found: dict[str, Any] = (await client.get("/handlers/order-17")).json()
        return found


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--life", type=int, default=1)
    args = parser.parse_args(argv)
    say(json.dumps(asyncio.run(live(args.folder, args.life))))
