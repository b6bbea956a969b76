"""A deep agent and its sub-agents, which run inside its tool `task`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from support.sending import GO, answers, options, records
from toolslot_langgraph import DurableToolMiddleware, make_durable

deepagents = pytest.importorskip("deepagents")

pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine 'arun_with_retry' was never awaited"
)  # LangGraph's own


class Scripted(BaseChatModel):
    """The main agent gives two tasks at once; the sub-agent pays twice at once for each task, `ask:n` for the n-th."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        last = messages[-1]
        message = AIMessage("done")
        if isinstance(last, HumanMessage):
            name, _, number = str(last.text).partition(":")
            asked = (
                [("pay", {"i": 2 * int(number) + k}) for k in range(2)]
                if name == "ask"
                else [("task", {"description": f"ask:{n}", "subagent_type": "payer"}) for n in range(2)]
            )
            message = AIMessage(
                "", tool_calls=[{"name": n, "args": a, "id": f"{n}{i}"} for i, (n, a) in enumerate(asked)]
            )
        return ChatResult(generations=[ChatGeneration(message=message)])


class Payments:
    def __init__(self, talk: Any, broken: set[int]) -> None:
        self.paid: list[int] = []
        self.broken = broken
        lock, payments = threading.Lock(), self

        def body(i: int) -> str:
            with lock:
                payments.paid.append(i)
            if i in payments.broken:
                raise ConnectionError(f"call {i}")
            return f"paid {i}"

        def pay(i: int) -> str:
            """Pays."""
            return body(i)

        async def apay(i: int) -> str:
            """Pays."""
            return body(i)

        self.tool = tool("pay")(apay if talk.asynchronous else pay)


def with_make_durable(talk: Any, pay: Any) -> Any:
    agent = deepagents.create_deep_agent(model=Scripted(), subagents=[payer(pay)], checkpointer=talk.saver)
    return make_durable(agent, **options(talk, {}))


def with_middleware(talk: Any, pay: Any) -> Any:
    journal = options(talk, {})
    agent = payer(pay)
    agent["middleware"] = [DurableToolMiddleware(**journal)]
    return deepagents.create_deep_agent(
        model=Scripted(),
        subagents=[agent],
        middleware=[DurableToolMiddleware(**journal)],
        checkpointer=talk.saver,
    )


def payer(pay: Any) -> dict[str, Any]:
    return {
        "name": "payer",
        "description": "Pays.",
        "system_prompt": "Pay.",
        "model": Scripted(),
        "tools": [pay],
    }


@pytest.mark.parametrize("door", [with_make_durable, with_middleware], ids=["make_durable", "middleware"])
def test_a_failure_in_one_sub_agent_repeats_no_call_of_the_others(
    talk: Any, door: Callable[..., Any]
) -> None:
    payments = Payments(talk, broken={3})
    agent = door(talk, payments.tool)
    with pytest.raises(ConnectionError):
        talk.run(agent, GO)
    payments.broken = set()
    outcome = talk.run(agent, None)
    assert [content for _, content in answers(outcome)] == ["done", "done"]
    assert sorted(payments.paid) == [0, 1, 2, 3, 3]
    found = [([slot.spec.tool for slot in record.slots], record.fence.closed) for record in records(talk)]
    assert sorted(found) == [(["pay", "pay"], True), (["pay", "pay"], True), (["task", "task"], True)]
