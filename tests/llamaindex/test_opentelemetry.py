"""Spans of LlamaIndex agents: a batch for each answer of the model, its calls below it, and what tools make below these."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from support.telemetry import Telemetry, of
from toolslot import ToolPolicy


@pytest.fixture
def seen() -> Telemetry:
    return Telemetry()


def tools(seen: Telemetry) -> list[Any]:
    def blocks(i: int) -> str:
        """Blocks."""
        with seen.tracer.start_as_current_span(f"bank {i}"):
            return "blocked"

    async def awaits(i: int) -> str:
        """Awaits."""
        with seen.tracer.start_as_current_span(f"bank {i}"):
            await asyncio.sleep(0)
            return "awaited"

    return [blocks, awaits]


def run(talk: Any, seen: Telemetry, **settings: Any) -> None:
    agent = talk.agent(tools(seen), hooks=[seen.hook()], **settings)

    async def main() -> None:
        with seen.tracer.start_as_current_span("request"):
            await agent.run(user_msg="go", run_id="r-1")

    asyncio.run(main())


@pytest.mark.parametrize("timeout", [None, 20])
def test_each_call_has_one_span_below_its_batch_and_what_the_tool_makes_is_below_it(
    talk: Any, seen: Telemetry, timeout: float | None
) -> None:
    talk.script([("blocks", {"i": 0}), ("awaits", {"i": 1}), ("blocks", {"i": 2})], "done")
    run(talk, seen, default_policy=ToolPolicy(timeout=timeout))
    calls = {of(span)["toolslot.slot.index"]: span for span in seen.spans("execute_tool")}
    assert [calls[i].name for i in range(3)] == [f"execute_tool {n}" for n in ("blocks", "awaits", "blocks")]
    batch = next(s for s in seen.spans("toolslot.batch") if of(s)["toolslot.batch.size"] == 3)
    assert [span.parent for span in calls.values()] == [batch.context] * 3
    assert (seen.parent(batch), of(batch)["toolslot.adapter"]) == ("request", "llamaindex")
    assert [seen.one(f"bank {i}").parent for i in range(3)] == [calls[i].context for i in range(3)]


def test_run_again_its_calls_are_replayed_and_the_batch_links_to_the_one_that_ran_them(
    talk: Any, seen: Telemetry
) -> None:
    talk.script([("blocks", {"i": 0})], "done")
    for _ in range(2):
        run(talk, seen)
    assert [of(span)["toolslot.outcome"] for span in seen.spans("execute_tool")] == ["executed", "replayed"]
    first, second = (s for s in seen.spans("toolslot.batch") if of(s)["toolslot.batch.size"])
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
