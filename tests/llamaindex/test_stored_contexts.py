"""Contexts that are stored at a question and taken up again."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic
import pytest
from llama_index.core.workflow import Context
from llama_index.core.workflow.events import HumanResponseEvent, InputRequiredEvent

pytestmark = pytest.mark.skipif(
    pydantic.VERSION.startswith("2.14"),
    reason="this pydantic loses the memory of stored contexts, also without toolslot",
)


def asking(talk: Any) -> Any:
    async def pay(ctx: Any) -> str:
        """Pays, once a person agrees."""
        said = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent(), waiter_id="w")
        talk.effects.append("paid")
        return str(said.response)

    pay.__annotations__["ctx"] = Context
    return pay


async def stored_at_the_question(agent: Any, ctx: Any = None, **settings: Any) -> Any:
    """The stored context of a run that was cancelled while its question was open."""
    handler = agent.run(user_msg="go", ctx=ctx, **settings)
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            break
    await asyncio.sleep(0.05)
    stored = handler.ctx.to_dict()
    await handler.cancel_run()
    with pytest.raises(BaseException):  # noqa: B017 - cancelled
        await handler
    return stored


async def taken_up(agent: Any, stored: Any, *answers: str) -> Any:
    handler = agent.run(ctx=Context.from_dict(agent, stored))
    for answer in answers:
        handler.ctx.send_event(HumanResponseEvent(response=answer))
    return await asyncio.wait_for(handler, 20)


def test_a_run_without_an_id_goes_on_from_a_stored_context_as_without_toolslot(talk: Any) -> None:
    talk.script([("pay", {})], "done")

    async def main() -> None:
        stored = await stored_at_the_question(talk.agent([asking(talk)]))
        assert str(await taken_up(talk.agent([asking(talk)]), stored, "yes")) == "done"

    asyncio.run(main())
    assert talk.effects == ["paid"]


def test_a_run_without_an_id_in_the_context_of_one_that_had_an_id_is_not_taken_for_it(talk: Any) -> None:
    # The model's second conversation asks for the very same call as the first.
    talk.script([("pay", {}, "call")], "done", [("pay", {}, "call")], "done again")

    async def main() -> None:
        agent = talk.agent([asking(talk)])
        ctx = Context(agent)
        handler = agent.run(user_msg="go", ctx=ctx, run_id="r-1")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                handler.ctx.send_event(HumanResponseEvent(response="the first"))
        await handler
        stored = await stored_at_the_question(agent, ctx)
        assert str(await taken_up(talk.agent([asking(talk)]), stored, "the second")) == "done again"

    asyncio.run(main())
    assert talk.effects == ["paid", "paid"]
    assert talk.heard()[-1] == "the second"
