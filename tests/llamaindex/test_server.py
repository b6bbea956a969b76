"""Behind LlamaIndex's own server, which chooses the ids of runs and finds the runs by them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

server = pytest.importorskip("llama_agents.server", reason="llama-agents-server is not installed")
httpx = pytest.importorskip("httpx")

ASK = {"start_event": {"user_msg": "go", "chat_history": [], "max_iterations": 20}}


@asynccontextmanager
async def serving(agent: Any) -> AsyncGenerator[Any]:
    """A client of a server that has the agent."""
    host = server.WorkflowServer()
    host.add_workflow("agent", agent)
    transport = httpx.ASGITransport(host.app)
    async with (
        host.app.router.lifespan_context(host.app),
        httpx.AsyncClient(transport=transport, base_url="http://server", timeout=30) as client,
    ):
        yield client


async def ended(client: Any, handler_id: str) -> dict[str, Any]:
    """What became of a run. The stream of its events ends with it."""
    async with client.stream("GET", f"/events/{handler_id}?sse=false") as events:
        async for _ in events.aiter_lines():
            pass
    found: dict[str, Any] = (await client.get(f"/handlers/{handler_id}")).json()
    return found


async def pay(i: int) -> str:
    """Pays."""
    return f"paid {i}"


@pytest.mark.parametrize("settings", [{}, {"verbose": True}], ids=["quiet", "verbose"])
def test_a_run_that_is_asked_for_over_http_ends_and_is_recorded(talk: Any, settings: Any) -> None:
    talk.script([("pay", {"i": 1}), ("pay", {"i": 2})], "done")

    async def main() -> dict[str, Any]:
        async with serving(talk.wrap(talk.plain([pay], **settings))) as client:
            answer = await client.post("/workflows/agent/run", json=ASK)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

    found = asyncio.run(main())
    assert found["status"] == "completed"
    assert found["result"]["value"]["result"]["response"]["blocks"][0]["text"] == "done"
    (batch, _) = talk.world.store.batches
    assert batch.run_id == found["run_id"], "the run's id is the host's"


def test_a_run_that_nobody_waits_for_ends_too(talk: Any) -> None:
    talk.script([("pay", {"i": 1})], "done")

    async def main() -> dict[str, Any]:
        async with serving(talk.agent([pay])) as client:
            started = (await client.post("/workflows/agent/run-nowait", json=ASK)).json()
            return await ended(client, started["handler_id"])

    assert asyncio.run(main())["status"] == "completed"
