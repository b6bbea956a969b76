"""A LangChain agent with a real provider class, in a process that a test may kill. The provider is a server on loopback."""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diskcache as _diskcache  # noqa: F401 - loaded before the fork
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from clients.loopback import Loopback
from clients.providers import APIS
from clients.script import CALLS, ROUNDS
from support.ledger import Ledger
from toolslot import CallEvent, EventKind
from toolslot_langgraph import make_durable


def openai(url: str) -> Any:
    return ChatOpenAI(model="gpt-4.1", base_url=f"{url}/v1", api_key="a-key", max_retries=0)


def openai_responses(url: str) -> Any:
    return ChatOpenAI(
        model="gpt-5",
        base_url=f"{url}/v1",
        api_key="a-key",
        max_retries=0,
        use_responses_api=True,
        store=False,
        include=["reasoning.encrypted_content"],
        reasoning={"effort": "low", "summary": "auto"},
    )


def anthropic(url: str) -> Any:
    return ChatAnthropic(
        model="claude-sonnet-4-5",
        base_url=url,
        api_key="a-key",
        max_retries=0,
        max_tokens=4096,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )


def google_genai(url: str) -> Any:
    return ChatGoogleGenerativeAI(
        model="gemini-3-pro-preview",
        base_url=url,
        api_key="a-key",
        max_retries=0,
        include_thoughts=True,
        thinking_budget=1024,
    )


CLASSES: dict[str, Callable[[str], Any]] = {
    "openai": openai,
    "openai-responses": openai_responses,
    "anthropic": anthropic,
    "google-genai": google_genai,
}


def a_tool(i: int) -> str:
    """Pays an invoice."""
    return f"paid {i}"


CONFIG: Any = {"configurable": {"thread_id": "orders"}}


class Life:
    """One process of the agent. All runs are turns of one thread; one that did not end goes on."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.lock = threading.Lock()
        self.waiting_for = ROUNDS * CALLS

    def tick(self) -> None:
        """A call has got as far as it will get before the kill."""
        with self.lock:
            self.waiting_for -= 1
            if self.waiting_for == 0:
                print("READY", flush=True)

    def hook(self, event: Any) -> None:
        if isinstance(event, CallEvent) and event.kind is EventKind.FINISHED:
            self.tick()

    def pay(self, i: int) -> str:
        """Pays an invoice."""
        self.ledger.note("paid", i)
        if i in self.args.hang:
            self.tick()
            threading.Event().wait()
        return f"paid {i}"

    async def apay(self, i: int) -> str:
        """Pays an invoice."""
        self.ledger.note("paid", i)
        if i in self.args.hang:
            self.tick()
            await asyncio.Event().wait()
        return f"paid {i}"

    def graph(self, saver: Any) -> Any:
        tool = StructuredTool.from_function(
            self.pay,
            coroutine=self.apay if self.args.streamed else None,
            name="pay",
            description="Pays an invoice.",
        )
        model = CLASSES[self.args.client](self.args.url)
        graph = create_agent(model, [tool], system_prompt="Pay what is due.", checkpointer=saver)
        if self.args.plain:
            return graph
        return make_durable(graph, journal=self.folder / "journal", hooks=[self.hook])

    def live(self) -> None:
        """Whole answers, in threads."""
        with SqliteSaver.from_conn_string(str(self.folder / "checkpoints.db")) as saver:
            graph = self.graph(saver)
            for run in self.args.runs:
                given = asked(run, graph.get_state(CONFIG))
                graph.invoke(given, CONFIG, durability="sync")

    async def alive(self) -> None:
        """Streamed answers, in an event loop."""
        async with AsyncSqliteSaver.from_conn_string(str(self.folder / "checkpoints.db")) as saver:
            graph = self.graph(saver)
            for run in self.args.runs:
                given = asked(run, await graph.aget_state(CONFIG))
                async for _ in graph.astream(given, CONFIG, durability="sync", stream_mode="messages"):
                    pass


def asked(run: str, state: Any) -> Any:
    """The user's message, or nothing when there is something to resume."""
    return None if state.tasks else {"messages": [HumanMessage(f"Pay {run}.", id=run)]}


def prepare(argv: list[str]) -> None:
    """Before the fork, ask the class once: the SDKs load and build much of what they need at the first question."""
    args = parsed(argv)
    warm(args.client, args.streamed)


@functools.cache
def warm(client: str, streamed: bool) -> None:
    with Loopback(APIS[client]()).serving() as server:
        model = CLASSES[client](server.url).bind_tools([a_tool])
        if streamed:
            asyncio.run(heard(model.astream("Pay.")))
        else:
            model.invoke("Pay.")


async def heard(pieces: Any) -> None:
    async for _ in pieces:
        pass


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("url")
    parser.add_argument("client", choices=CLASSES)
    parser.add_argument("--streamed", action="store_true")
    parser.add_argument("--plain", action="store_true", help="the framework alone")
    parser.add_argument("--runs", type=lambda text: text.split(","), default=["order-17"])
    parser.add_argument("--hang", type=lambda text: {*map(int, text.split(","))}, default=set())
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    life = Life(parsed(argv))
    if life.args.streamed:
        asyncio.run(life.alive())
    else:
        life.live()
    print(json.dumps({"ended": life.args.runs}), flush=True)


if __name__ == "__main__":
    main()
