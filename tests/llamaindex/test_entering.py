"""Start marks in the commit of the turn: of the calls that the framework hands over at once, and of no others."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.agent.workflow.workflow_events import AgentOutput, ToolCall
from llama_index.core.workflow import Context, StopEvent
from workflows.decorators import step

from toolslot import Limits, MemoryJournal, ToolPolicy
from toolslot.journal import Reserve
from toolslot_llamaindex import durable


class Written(MemoryJournal):
    """Notes which start marks came with a reservation."""

    def __init__(self) -> None:
        super().__init__()
        self.with_the_turn: list[int] = []

    def submit(self, operation: Any) -> Any:
        if isinstance(operation, Reserve):
            self.with_the_turn += [mark.index for mark in operation.starts]
        return super().submit(operation)


class Asking(FunctionAgent):
    @step
    async def parse_agent_output(self, ctx: Context, ev: AgentOutput) -> StopEvent | ToolCall | None:
        return await super().parse_agent_output(ctx, ev)


async def pay(i: int) -> str:
    """Pays."""
    return f"paid {i}"


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        (FunctionAgent, {}, [0, 1, 2, 3]),
        (FunctionAgent, {"max_parallel": 2}, [0, 1]),
        (FunctionAgent, {"limits": Limits(batch=3)}, [0, 1, 2]),
        (FunctionAgent, {"policies": {"pay": ToolPolicy(on_unknown="ask")}}, []),
        (Asking, {}, []),
    ],
    ids=["as the framework", "two at once", "three at once", "asked about", "a step of the user's own"],
)
def test_the_first_calls_have_their_start_marks_with_the_turn(
    talk: Any, kind: type[FunctionAgent], settings: dict[str, Any], expected: list[int]
) -> None:
    llm = talk.script([("pay", {"i": i}) for i in range(6)], "done")
    journal = Written()
    agent = durable(kind(tools=[pay], llm=llm), journal=journal, hooks=[], **settings)
    talk.run(agent)
    assert journal.with_the_turn == expected
    assert talk.heard() == [f"paid {i}" for i in range(6)]
