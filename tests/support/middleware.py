"""Agents of `create_agent` with the durable middleware among others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import StructuredTool

from support.sending import Model, options
from toolslot_langgraph import DurableToolMiddleware


def made(talk: Any, body: Callable[[int], Any], **kwargs: Any) -> Any:
    """The tool "work" of this body."""

    def do(i: int) -> Any:
        return body(i)

    async def ado(i: int) -> Any:
        return body(i)

    code: dict[str, Any] = {"coroutine": ado} if talk.asynchronous else {"func": do}
    return StructuredTool.from_function(name="work", description="Works.", **code, **kwargs)


def agent_of(
    talk: Any, tools: Sequence[Any], *, front: Sequence[Any] = (), behind: Sequence[Any] = (), **settings: Any
) -> Any:
    chain = [*front, DurableToolMiddleware(**options(talk, settings)), *behind]
    return create_agent(Model(talk=talk), tools, middleware=chain, checkpointer=talk.saver)
