"""What the LangGraph examples share: a chat model that follows a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult


class ScriptedModel(BaseChatModel):
    """Stands for a real chat model and needs no key: its n-th answer is the n-th line of the script."""

    script: list[Any]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> ScriptedModel:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        line = self.script[sum(isinstance(message, AIMessage) for message in messages)]
        answer = AIMessage(line) if isinstance(line, str) else AIMessage("", tool_calls=line)
        return ChatResult(generations=[ChatGeneration(message=answer)])


def call(tool: str, **args: Any) -> ToolCall:
    """One tool call of the script."""
    return ToolCall(name=tool, args=args, id=f"{tool}-{'-'.join(map(str, args.values()))}")
