"""A LlamaIndex agent with a real provider class, in a process that a test may kill. The provider is a server on loopback."""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diskcache as _diskcache  # noqa: F401 - loaded before the fork
from google.genai import types as google
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.tools import FunctionTool
from llama_index.core.utils import get_tokenizer
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.bedrock_converse import BedrockConverse
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.mistralai import MistralAI
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.llms.openai_like import OpenAILike

from clients.loopback import Loopback
from clients.providers import APIS
from clients.script import CALLS, ROUNDS
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


def openai_responses(url: str) -> Any:
    return OpenAIResponses(
        model="gpt-5",
        api_base=f"{url}/v1",
        api_key="a-key",
        max_retries=0,
        store=True,
        include=["reasoning.encrypted_content"],
        reasoning_options={"effort": "low", "summary": "auto"},
    )


def openai_like(url: str) -> Any:
    return OpenAILike(
        model="qwen3",
        api_base=f"{url}/v1",
        api_key="a-key",
        max_retries=0,
        is_chat_model=True,
        is_function_calling_model=True,
    )


def anthropic(url: str) -> Any:
    return Anthropic(
        model="claude-sonnet-4-5",
        base_url=url,
        api_key="a-key",
        max_retries=0,
        max_tokens=4096,
        temperature=1.0,
        thinking_dict={"type": "enabled", "budget_tokens": 1024},
    )


def mistralai(url: str) -> Any:
    return MistralAI(model="mistral-large-latest", endpoint=url, api_key="a-key", max_retries=0)


def ollama(url: str) -> Any:
    return Ollama(model="qwen3", base_url=url, context_window=8192, thinking=True)


def bedrock(url: str) -> Any:
    return BedrockConverse(
        model="anthropic.claude-sonnet-4-5-20250929-v1:0",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a-key",
        aws_secret_access_key="a-secret",
        max_retries=1,
        max_tokens=4096,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )


CLASSES: dict[str, Callable[[str], Any]] = {
    "openai": openai,
    "openai-responses": openai_responses,
    "openai-like": openai_like,
    "anthropic": anthropic,
    "google-genai": google_genai,
    "mistralai": mistralai,
    "ollama": ollama,
    "bedrock": bedrock,
}


def a_tool(i: int) -> str:
    """Pays an invoice."""
    return f"paid {i}"


class Life:
    """One process of the agent."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.folder)
        self.ledger = Ledger(self.folder / "ledger")
        self.waiting_for = ROUNDS * CALLS

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

    def memory(self) -> Any:
        if self.args.stored:
            uri = f"sqlite+aiosqlite:///{self.folder / 'memory.db'}"
            return Memory.from_defaults(session_id="orders", async_database_uri=uri)
        return ChatMemoryBuffer.from_defaults(token_limit=50_000)

    async def live(self) -> dict[str, Any]:
        agent, memory = self.agent(), self.memory()
        answers = []
        for run in self.args.runs:
            given = {} if self.args.plain else {"run_id": run}
            answers.append(str(await agent.run(user_msg=f"Pay {run}.", memory=memory, **given)))
        return {"answers": answers}


def prepare(argv: list[str]) -> None:
    """Before the fork, ask the class once: the SDKs load and build much of what they need at the first question."""
    args = parsed(argv)
    warm(args.client, args.streamed)


@functools.cache
def warm(client: str, streamed: bool) -> None:
    with Loopback(APIS[client]()).serving() as server:
        asyncio.run(ask(CLASSES[client](server.url), streamed))


async def ask(model: Any, streamed: bool) -> None:
    tools = [FunctionTool.from_defaults(fn=a_tool, name="pay", description="Pays an invoice.")]
    given: dict[str, Any] = {"user_msg": "Pay.", "allow_parallel_tool_calls": True}
    if streamed:
        async for _ in await model.astream_chat_with_tools(tools, **given):
            pass
    else:
        await model.achat_with_tools(tools, **given)


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("url")
    parser.add_argument("client", choices=CLASSES)
    parser.add_argument("--streamed", action="store_true")
    parser.add_argument("--plain", action="store_true", help="the framework alone")
    parser.add_argument("--stored", action="store_true", help="the memory is in a file")
    parser.add_argument("--runs", type=lambda text: text.split(","), default=["order-17"])
    parser.add_argument("--hang", type=lambda text: {*map(int, text.split(","))}, default=set())
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    print(json.dumps(asyncio.run(Life(parsed(argv)).live())), flush=True)


if __name__ == "__main__":
    main()
