"""Handlers that note what they are told, and agents of every form whose calls are told of: live, and again as replays."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import BaseTool, tool
from langgraph.prebuilt import InjectedState, ToolRuntime

from support.sending import GO, Model
from toolslot import current_call
from toolslot_langgraph import DurableToolMiddleware, make_durable


class Heard(BaseCallbackHandler):
    """Notes what is told of tools, in order."""

    def __init__(self) -> None:
        self.starts: list[Any] = []
        self.ends: list[Any] = []
        self.errors: list[Any] = []

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.starts.append((serialized, input_str, kwargs))

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.ends.append((output, kwargs))

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append((error, kwargs))

    def told(self) -> dict[str, tuple[Any, str, dict[str, Any], Any]]:
        """By call id: what it was started with, without what differs between any two runs, and its output."""
        outputs = {
            kwargs["run_id"]: (type(output), output.content, kwargs["name"]) for output, kwargs in self.ends
        }
        kept = ("name", "tags", "inputs", "color", "tool_call_id")
        return {
            kwargs["tool_call_id"]: (
                serialized,
                text,
                {key: kwargs.get(key) for key in kept},
                outputs.get(kwargs["run_id"]),
            )
            for serialized, text, kwargs in self.starts
        }

    def metadata(self) -> dict[str, dict[str, Any]]:
        return {kwargs["tool_call_id"]: kwargs["metadata"] for _, _, kwargs in self.starts}


class Flaky:
    """Call 2 fails until it is mended. It sees injected values, and notes its idempotency keys."""

    def __init__(self, **settings: Any) -> None:
        self.broken = True
        self.ran: list[int] = []
        self.keys: dict[int, str] = {}
        flaky = self

        @tool
        def work(i: int, state: Annotated[Any, InjectedState], runtime: ToolRuntime) -> str:
            """Works."""
            flaky.ran.append(i)
            if isinstance(i, int) and not flaky.keys.get(i):
                flaky.keys[i] = getattr(_call(), "idempotency_key", "")
            if i == 2 and flaky.broken:
                raise ConnectionError(f"call {i}")
            return f"did {i}"

        self.tool: BaseTool = work.model_copy(
            update={"tags": ["a tag"], "metadata": {"team": "billing"}, **settings}
        )


def _call() -> Any:
    try:
        return current_call()
    except LookupError:
        return None  # a plain ToolNode runs it


def one_node(talk: Any, tools: Any, **options: Any) -> Any:
    return talk.graph(tools, **options)


def one_task_each(talk: Any, tools: Any, **options: Any) -> Any:
    options = {"journal": talk.world.executor().journal, "hooks": [talk.world.events], **options}
    return make_durable(create_agent(Model(talk=talk), tools, checkpointer=talk.saver), **options)


def behind_middleware(talk: Any, tools: Any, **options: Any) -> Any:
    options = {"journal": talk.world.executor().journal, "hooks": [talk.world.events], **options}
    middleware = [DurableToolMiddleware(**options)]
    return create_agent(Model(talk=talk), tools, middleware=middleware, checkpointer=talk.saver)


every_form = pytest.mark.parametrize("form", [one_node, one_task_each, behind_middleware])


def start(talk: Any, form: Any, graph: Any, **config: Any) -> Any:
    return talk.run(graph, {"messages": []} if form is one_node else GO, **config)


def replay(talk: Any, ask: Any, form: Any, *handlers: Any, **options: Any) -> tuple[Flaky, Any]:
    """Calls 0, 1 and 3 have run, and LangGraph knows nothing of them; call 2 failed, and runs now, with the handlers."""
    flaky = Flaky()
    forged = {"state": "forged"}  # a model may name what is injected
    talk.calls = [
        {**call, "args": {**call["args"], **forged}, "type": "tool_call"} for call in ask("work", 4)
    ]
    with pytest.raises(ConnectionError):
        start(talk, form, form(talk, [flaky.tool], **options))
    talk.saver.writes.clear()
    flaky.broken = False
    flaky.ran.clear()
    return flaky, talk.resume(form(talk, [flaky.tool], **options), callbacks=list(handlers))
