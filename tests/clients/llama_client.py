"""A LlamaIndex agent with a real provider class, in a process that a test may kill. The provider is a server on loopback."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diskcache as _diskcache  # noqa: F401 - loaded before the fork
from google.genai import types as google
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.utils import get_tokenizer
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.openai import OpenAI

from support.ledger import Ledger
from toolslot import CallEvent, EventKind
from toolslot_llamaindex import durable

get_tokenizer()  # half of a life's work otherwise: all forks share it


def openai(url: str) -> Any:
    return OpenAI(model="gpt-4.1", api_base=f"{url}/v1", api_key="a-key", max_retries=0)


def google_genai(url: str) -> Any:
    thinking = google.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    return GoogleGenAI(
        model="gemini-3-pro-preview",
        api_key="a-key",
        http_options=google.HttpOptions(base_url=url),
        generation_config=google.GenerateContentConfig(thinking_config=thinking),
        max_tokens=4096,
        context_window=100_000,
        max_retries=0,
    )


CLASSES: dict[str, Callable[[str], Any]] = {"openai": openai, "google-genai": google_genai}


class Life:
    """One process of the agent."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.waiting_for = 5

    def tick(self) -> None:
        """A call has got as far as it will get before the kill."""
        self.waiting_for -= 1
        if self.waiting_for == 0:
            print("READY", flush=True)

    def hook(self, event: Any) -> None:
        if isinstance(event, CallEvent) and event.kind is EventKind.FINISHED:
            self.tick()

    async def pay(self, i: int) -> str:
        """Pays an invoice."""
        self.ledger.note("paid", i)
        if i in self.args.hang:
            self.tick()
            await asyncio.Event().wait()
        return f"paid {i}"

    def agent(self) -> Any:
        agent = FunctionAgent(
            llm=CLASSES[self.args.client](self.args.url),
            tools=[FunctionTool.from_defaults(async_fn=self.pay, name="pay", description="Pays an invoice.")],
            system_prompt="Pay what is due.",
            streaming=self.args.streamed,
        )
        return (
            agent if self.args.plain else durable(agent, journal=self.folder / "journal", hooks=[self.hook])
        )

    async def live(self) -> dict[str, Any]:
        agent, memory = self.agent(), ChatMemoryBuffer.from_defaults(token_limit=50_000)
        answers = []
        for run in self.args.runs:
            given = {} if self.args.plain else {"run_id": run}
            answers.append(str(await agent.run(user_msg=f"Pay {run}.", memory=memory, **given)))
        return {"answers": answers}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("url")
    parser.add_argument("client", choices=CLASSES)
    parser.add_argument("--streamed", action="store_true")
    parser.add_argument("--plain", action="store_true", help="the framework alone")
    parser.add_argument("--runs", type=lambda text: text.split(","), default=["order-17"])
    parser.add_argument("--hang", type=lambda text: {*map(int, text.split(","))}, default=set())
    print(json.dumps(asyncio.run(Life(parser.parse_args(argv)).live())), flush=True)


if __name__ == "__main__":
    main()
