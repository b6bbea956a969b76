"""A process that runs the calls in a durable LlamaIndex agent. People and operators answer while it runs."""

from __future__ import annotations

import asyncio
from typing import Any

import diskcache as _diskcache  # noqa: F401 - loaded before the fork
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool
from llama_index.core.utils import get_tokenizer
from llama_index.core.workflow import Context
from workflows.events import HumanResponseEvent, InputRequiredEvent

from crash.chaos.body import Body, Orders, brief, effect_of, failed, key_to_index
from crash.chaos.facts import Verb
from crash.chaos.plan import Kind
from toolslot_llamaindex import ToolOutcomeAnswer, ToolOutcomeQuestion, durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

get_tokenizer()  # half of a life's work otherwise: all forks share it


def tools_of(body: Body) -> list[Any]:
    def tool(kind: Kind) -> Any:
        def run(n: int) -> str:
            return body.run(kind, n)

        async def arun(n: int) -> str:
            return await body.arun(kind, n)

        way = {"fn": run} if body.trial.mode == "sync" else {"async_fn": arun}
        return FunctionTool.from_defaults(**way, name=kind.value, description="A tool.")  # type: ignore[arg-type]

    async def person(ctx: Context, n: int) -> str:
        await ctx.wait_for_event(
            HumanResponseEvent,
            waiter_event=InputRequiredEvent(n=n),
            waiter_id=f"person {n}",
            requirements={"n": n},
        )
        return await body.arun(Kind.PERSON, n)

    person.__annotations__["ctx"] = Context
    asks = FunctionTool.from_defaults(async_fn=person, name=Kind.PERSON.value, description="Asks a person.")
    return [asks if kind is Kind.PERSON else tool(kind) for kind in body.trial.kinds]


def answer(body: Body, event: InputRequiredEvent) -> Any:
    """What a person says: of a call of unknown outcome, what the ledger knows."""
    if not isinstance(event, ToolOutcomeQuestion):
        return HumanResponseEvent(n=event.n, response="yes")
    facts, key = body.facts(), event.idempotency_key
    index, value = key_to_index(facts, key), effect_of(facts, key)
    body.note(Verb.ASKED, index=index, key=key)
    body.note(Verb.DECIDED, index=index, key=key, word="rerun" if value is None else "done")
    return ToolOutcomeAnswer(id=event.id, answer="rerun" if value is None else {"done": value})


async def run(body: Body) -> dict[str, Any]:
    calls = [(call.kind.value, {"n": call.n}, call.call_id) for call in body.trial.calls]
    llm = ScriptedLLM([calls, "done"])
    agent: Any = durable(
        FunctionAgent(tools=tools_of(body), llm=llm),
        journal=body.journal,
        policies=body.policies(),
        hooks=[body.hook],
        max_parallel=8,
        limits=body.limits(),
    )
    body.at_the_gate()
    handler = agent.run(user_msg="pay", run_id="run")
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            handler.ctx.send_event(answer(body, event))
    results = (await handler).tool_calls
    return {"status": "done", "answers": [brief(str(result.tool_output.raw_output)) for result in results]}


def main(argv: list[str]) -> None:
    body = Body(Orders.heard(argv[0]))
    body.ask = lambda n: None  # it has asked already
    print("BEGINS", flush=True)
    try:
        found = asyncio.run(run(body))
    except Exception as error:
        found = failed(error)
    body.tell(found)
