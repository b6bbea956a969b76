"""A conversation with a scripted model, and process starts of its agent over one journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage

from support.harness import World
from toolslot_llamaindex import ToolOutcomeAnswer, ToolOutcomeQuestion, durable
from toolslot_llamaindex._demo_agent import Scripted, ScriptedLLM


@dataclass
class Talk:
    """One run id. `agent()` begins a process start: a journal of its own over one store."""

    world: World = field(default_factory=World)
    llm: ScriptedLLM = field(default_factory=lambda: ScriptedLLM(["done"]))
    run_id: str = "r-1"

    @property
    def effects(self) -> list[str]:
        return self.world.effects

    def script(self, *answers: Scripted, **settings: Any) -> ScriptedLLM:
        self.llm = ScriptedLLM(answers, **settings)
        return self.llm

    def plain(self, tools: Sequence[Any], **settings: Any) -> FunctionAgent:
        return FunctionAgent(tools=list(tools), llm=self.llm, **settings)

    def wrap(self, agent: Any, **settings: Any) -> Any:
        settings.setdefault("journal", self.world.executor().journal)
        settings.setdefault("hooks", [self.world.events])
        return durable(agent, **settings)

    def agent(self, tools: Sequence[Any], **settings: Any) -> Any:
        return self.wrap(self.plain(tools), **settings)

    def run(self, agent: Any, user_msg: str = "go", **settings: Any) -> Any:
        settings.setdefault("run_id", self.run_id)

        async def main() -> Any:
            return await agent.run(user_msg=user_msg, **settings)

        return asyncio.run(main())

    def stream(self, agent: Any, answers: Any = (), **settings: Any) -> tuple[Any, list[Any]]:
        """Run, answering questions about outcomes one after the other; the result and every event."""
        settings.setdefault("run_id", self.run_id)
        left = list(answers)

        async def main() -> tuple[Any, list[Any]]:
            handler = agent.run(user_msg="go", **settings)
            events: list[Any] = []
            async for event in handler.stream_events():
                events.append(event)
                if isinstance(event, ToolOutcomeQuestion):
                    handler.ctx.send_event(ToolOutcomeAnswer(id=event.id, answer=left.pop(0)))
            return await handler, events

        return asyncio.run(main())

    def crash(self) -> None:
        self.world.crash()

    def heard(self) -> list[str]:
        """The tools' messages in the last question to the model."""
        return said(self.llm.heard[-1])


def said(messages: Sequence[ChatMessage]) -> list[str]:
    return [message.content or "" for message in messages if message.role.value == "tool"]


@pytest.fixture
def talk() -> Talk:
    return Talk()
