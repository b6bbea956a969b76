"""Tools of a real MCP server, in a process of its own: what it says of them counts, and what it answered is not asked again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult

from support import mcp_server
from toolslot import ToolPolicy, ToolslotError
from toolslot_llamaindex import ToolOutcomeAnswer, ToolOutcomeQuestion, mcp_policies

pytestmark = pytest.mark.any_release  # the packages of MCP have no lowest release here

# Not among what the lowest supported releases are tested with: it would choose newer ones.
mcp = pytest.importorskip("llama_index.tools.mcp")

After: TypeAlias = Callable[[str], None]


def nothing(_: str) -> None:
    """The usual life of an answer."""


@asynccontextmanager
async def shop(folder: Path, after: After = nothing) -> AsyncIterator[Any]:
    """The tools of a server that runs meanwhile; `after` is told of each call once the server has done it."""

    class Watched(ClientSession):
        async def call_tool(self, name: str, *args: Any, **kwargs: Any) -> Any:
            found = await super().call_tool(name, *args, **kwargs)
            after(name)
            return found

    server = StdioServerParameters(command=sys.executable, args=[mcp_server.__file__, str(folder / "ledger")])
    async with stdio_client(server) as streams, Watched(*streams) as session:
        await session.initialize()
        yield mcp.McpToolSpec(session)


def done(folder: Path) -> list[str]:
    """What the server did, one word a call."""
    return sorted(line.split()[0] for line in (folder / "ledger").read_text().splitlines())


def life(talk: Any, folder: Path, after: After = nothing) -> tuple[Any, list[Any]]:
    """The agent of a new process start, with the policies that the server gives; the result, and the calls that were asked about."""

    asked: list[Any] = []

    async def main() -> Any:
        async with shop(folder, after) as spec:
            agent = talk.agent(
                await spec.to_tool_list_async(),
                policies=mcp_policies(await spec.fetch_tools()),
                allowed_types=[CallToolResult],
            )
            handler = agent.run(user_msg="go", run_id="r-1")
            async for event in handler.stream_events():
                if isinstance(event, ToolOutcomeQuestion):
                    asked.append(event.tool)
                    handler.ctx.send_event(ToolOutcomeAnswer(id=event.id, answer={"done": "paid by hand"}))
            try:
                return await handler
            except ToolslotError as error:  # given back, for the connection would make a group of it
                return error

    outcome = asyncio.run(main())
    if isinstance(outcome, ToolslotError):
        raise outcome
    return outcome, asked


def test_what_the_server_says_of_its_tools_becomes_their_policies(tmp_path: Path) -> None:
    async def main() -> Any:
        async with shop(tmp_path) as spec:
            return mcp_policies(await spec.fetch_tools())

    assert asyncio.run(main()) == {
        "price": ToolPolicy(idempotent=True),
        "rename": ToolPolicy(idempotent=True),
        "pay": ToolPolicy(on_unknown="ask"),
    }


def test_a_destructive_call_whose_answer_was_lost_is_asked_about_and_no_other_reaches_the_server_again(
    talk: Any, tmp_path: Path
) -> None:
    def dies_after_paying(name: str) -> None:
        if name == "pay":
            talk.crash()

    # One after the other, so that the server has done them all.
    talk.script([("picture", {"item": "desk"})], [("pay", {"item": "desk"})], "done")
    with pytest.raises(ToolslotError):
        life(talk, tmp_path, dies_after_paying)
    assert done(tmp_path) == ["pay", "picture"]
    result, asked = life(talk, tmp_path)
    assert (str(result), asked) == ("done", ["pay"])
    assert talk.heard()[1] == "paid by hand"
    assert done(tmp_path) == ["pay", "picture"]


def test_what_the_server_answered_is_replayed_as_it_was(talk: Any, tmp_path: Path) -> None:
    names = ["price", "pay", "picture", "refuse"]
    talk.script([(name, {"item": "desk"}) for name in names], "done")
    (live, _), first = life(talk, tmp_path), talk.heard()
    replayed, _ = life(talk, tmp_path)
    assert done(tmp_path) == sorted(names)
    assert talk.llm.asked == 2
    assert talk.heard() == first
    for a, b in zip(live.tool_calls, replayed.tool_calls, strict=True):
        assert isinstance(b.tool_output.raw_output, CallToolResult)
        assert (b.tool_name, b.tool_output.raw_output) == (a.tool_name, a.tool_output.raw_output)
