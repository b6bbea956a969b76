"""Tools of a real MCP server, in a process of its own: what it says of them counts, and what it answered is not asked again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from support import mcp_server
from support.harness import World
from toolslot import ToolPolicy
from toolslot_langgraph import DurableParallelToolNode, durable_nodes, make_durable

pytestmark = pytest.mark.any_release  # the packages of MCP have no lowest release here

SERVER = Path(mcp_server.__file__)
#: what a life does to a call's answer, after the server has done its work
After = Callable[[str], Awaitable[None]]


class Scripted(BaseChatModel):
    """Asks for its calls once, then is content."""

    calls: list[dict[str, Any]]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        answered = any(isinstance(message, ToolMessage) for message in messages)
        message = AIMessage("done") if answered else AIMessage("", tool_calls=self.calls, id="a1")
        return ChatResult(generations=[ChatGeneration(message=message)])


def in_a_node(shop: Shop, tools: list[BaseTool], settings: dict[str, Any]) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [AIMessage("", tool_calls=shop.calls, id="a1")]})
    graph.add_node("tools", DurableParallelToolNode(tools, **settings))
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    return graph.compile(checkpointer=shop.saver)


def in_an_agent(shop: Shop, tools: list[BaseTool], settings: dict[str, Any]) -> Any:
    agent: Any = create_agent(Scripted(calls=shop.calls), tools, checkpointer=shop.saver)
    return make_durable(agent, **settings)


async def nothing(_: str) -> None:
    """The usual life of an answer."""


@dataclass
class Shop:
    """One thread of an agent with the server's tools. Each life has connections, a node and a journal of its own."""

    folder: Path
    build: Callable[[Shop, list[BaseTool], dict[str, Any]], Any]
    world: World = field(default_factory=World)
    saver: InMemorySaver = field(default_factory=InMemorySaver)
    config: dict[str, Any] = field(default_factory=lambda: {"configurable": {"thread_id": "t"}})
    calls: list[Any] = field(default_factory=list)

    def ask(self, *names: str) -> None:
        self.calls = [
            {"name": name, "args": {"item": "desk"}, "id": f"c{i}", "type": "tool_call"}
            for i, name in enumerate(names)
        ]

    @property
    def done(self) -> list[str]:
        """What the server did, one word a call."""
        ledger = self.folder / "ledger"
        return [line.split()[0] for line in ledger.read_text().splitlines()] if ledger.exists() else []

    @asynccontextmanager
    async def graph(self, after: After = nothing, **settings: Any) -> AsyncIterator[Any]:
        """The agent of a new life, as long as its server runs."""

        async def intercept(request: Any, handler: Any) -> Any:
            answer = await handler(request)
            await after(request.name)
            return answer

        command = [str(SERVER), str(self.folder / "ledger")]
        client = MultiServerMCPClient(
            {"shop": {"transport": "stdio", "command": sys.executable, "args": command}}
        )
        settings = {"journal": self.world.executor().journal, "hooks": [self.world.events], **settings}
        async with client.session("shop") as session:
            tools = await load_mcp_tools(session, tool_interceptors=[intercept])
            yield self.build(self, tools, settings)

    async def life(self, value: Any, after: After = nothing, **settings: Any) -> Any:
        async with self.graph(after, **settings) as graph:
            return await graph.ainvoke(value, self.config, durability="sync")

    async def fails_at(self, name: str, **settings: Any) -> None:
        """A life that ends with an error once everything else is recorded and the server has done `name`."""

        async def after(found: str) -> None:
            if found == name:
                raise ConnectionError("the answer was lost")

        async with self.graph(after, **settings) as graph:
            with pytest.raises(ConnectionError):
                await graph.ainvoke(START_WITH, self.config, durability="sync")


START_WITH: Any = {"messages": [HumanMessage("go")]}


@pytest.fixture(params=[in_a_node, in_an_agent])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    return Shop(tmp_path, request.param)


def answers(outcome: Any) -> list[ToolMessage]:
    return [message for message in outcome["messages"] if isinstance(message, ToolMessage)]


def plain(messages: Sequence[ToolMessage]) -> list[dict[str, Any]]:
    """All of a message but its own random id, and the mark of a replay."""
    return [message.model_dump(exclude={"id", "response_metadata"}) for message in messages]


def policies(shop: Shop, **settings: Any) -> dict[str, ToolPolicy]:
    async def life() -> dict[str, ToolPolicy]:
        async with shop.graph(**settings) as graph:
            (node,) = durable_nodes(graph).values()
            engine = node.executor._engine()
            return {name: engine.policy(name) for name in node.tools_by_name}

    return asyncio.run(life())


def test_what_the_server_says_of_its_tools_becomes_their_policies(shop: Shop) -> None:
    found = policies(shop)
    assert {name: policy.idempotent for name, policy in found.items()} == {
        "price": True,
        "rename": True,
        "pay": False,
        "order": False,
        "picture": False,
        "refuse": False,
    }
    assert {name: policy.unknown_rule for name, policy in found.items()} == {
        "price": "rerun",
        "rename": "rerun",
        "pay": "ask",
        "order": "rerun",
        "picture": "rerun",
        "refuse": "rerun",
    }


def test_what_the_user_says_comes_before_what_the_server_says(shop: Shop) -> None:
    assert policies(shop, policies={"pay": ToolPolicy(on_unknown="fail")})["pay"].unknown_rule == "fail"


def test_after_a_failure_only_the_failed_call_reaches_the_server_again(shop: Shop) -> None:
    async def lives() -> Any:
        shop.ask("price", "pay", "picture", "rename")
        await shop.fails_at("picture")
        assert sorted(shop.done) == ["pay", "picture", "price", "rename"]
        return await shop.life(None)

    outcome = asyncio.run(lives())
    assert [message.name for message in answers(outcome)] == ["price", "pay", "picture", "rename"]
    assert sorted(shop.done) == ["pay", "picture", "picture", "price", "rename"]


def test_a_destructive_call_whose_answer_was_lost_waits_for_a_person(shop: Shop) -> None:
    async def lives() -> Any:
        shop.ask("price", "pay")
        await shop.fails_at("pay")
        outcome = await shop.life(None)
        (asked,) = outcome["__interrupt__"]
        (question,) = asked.value["questions"]
        assert question["tool"] == "pay"
        return await shop.life(Command(resume={question["id"]: {"done": "paid by hand"}}))

    outcome = asyncio.run(lives())
    assert answers(outcome)[1].text == "paid by hand"
    assert sorted(shop.done) == ["pay", "price"]


def test_content_blocks_and_structured_content_are_replayed_as_they_were(shop: Shop) -> None:
    shop.ask("price", "pay", "picture", "refuse")
    outcomes: list[Any] = []
    for thread in "12":
        shop.config = {"configurable": {"durable_run_key": "order-17", "thread_id": thread}}
        outcomes.append(asyncio.run(shop.life(START_WITH)))
    live, replayed = map(answers, outcomes)
    assert sorted(shop.done) == ["pay", "picture", "price", "refuse"]
    assert plain(replayed) == plain(live)
    assert all(message.response_metadata == {"toolslot": {"replayed": True}} for message in replayed)
    _, pay, picture, refuse = replayed
    assert pay.artifact == {"structured_content": {"number": 7, "paid": 740.5, "lines": ["desk", "postage"]}}
    assert [block["type"] for block in picture.content_blocks] == ["text", "image"]
    assert refuse.status == "error"
