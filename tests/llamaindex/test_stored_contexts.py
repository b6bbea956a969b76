"""Contexts that are stored at a question and taken up again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pydantic
import pytest
from llama_index.core.workflow import Context
from llama_index.core.workflow.events import HumanResponseEvent, InputRequiredEvent

from toolslot import BatchMismatch, EventKind, current_call
from toolslot_llamaindex._records import writes_of

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


async def stored_at_the_question(agent: Any, ctx: Any = None, *, questions: int = 1, **settings: Any) -> Any:
    """The stored context of a run that was cancelled while its questions were open."""
    handler = agent.run(user_msg="go", ctx=ctx, **settings)
    async for event in handler.stream_events():
        if isinstance(event, InputRequiredEvent):
            break
    stored = handler.ctx.to_dict()
    # A question is told before its waiting is noted; an answer to one that is not noted is lost, also without toolslot.
    while len(stored["workers"]["call_tool"]["collected_waiters"]) < questions:
        await asyncio.sleep(0.001)
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


def paying(talk: Any) -> Any:
    async def pay(ctx: Any, i: int) -> str:
        """Pays, once a person agrees."""
        said = await ctx.wait_for_event(
            HumanResponseEvent, waiter_event=InputRequiredEvent(), waiter_id=f"w{i}", requirements={"i": i}
        )
        talk.effects.append(f"paid {i} by {current_call().idempotency_key}")
        for _ in range(5):
            await asyncio.sleep(0)
        return f"{i}: {said.response}"

    pay.__annotations__["ctx"] = Context
    return pay


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("calls", [1, 3])
def test_an_answer_that_is_sent_again_to_a_stored_context_counts_once_and_runs_nothing_outside_the_journal(
    talk: Any, times: int, calls: int
) -> None:
    talk.script([("pay", {"i": i}, "same") for i in range(calls)], "done")

    async def main() -> Any:
        stored = await stored_at_the_question(talk.agent([paying(talk)]), questions=calls, run_id="r-1")
        agent = talk.agent([paying(talk)])
        handler = agent.run(ctx=Context.from_dict(agent, json.loads(json.dumps(stored))))
        for i in range(calls):
            for _ in range(times):
                handler.ctx.send_event(HumanResponseEvent(i=i, response="yes"))
        return await asyncio.wait_for(handler, 20)

    result = asyncio.run(main())
    assert str(result) == "done"
    assert len(result.tool_calls) == calls
    assert [effect.split()[1] for effect in sorted(talk.effects)] == [str(i) for i in range(calls)]
    assert talk.heard() == [f"{i}: yes" for i in range(calls)]
    assert talk.llm.asked == 2


def test_of_calls_that_are_all_the_same_each_keeps_its_slot_in_a_stored_context(talk: Any) -> None:
    async def pay(ctx: Any) -> str:
        """Pays, once a person agrees."""
        said = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent())
        talk.effects.append(current_call().idempotency_key)
        return str(said.response)

    pay.__annotations__["ctx"] = Context
    talk.script([("pay", {}, "same"), ("pay", {}, "same")], "done")

    async def main() -> Any:
        stored = await stored_at_the_question(talk.agent([pay]), questions=2, run_id="r-1")
        return await taken_up(talk.agent([pay]), stored, "yes", "no")

    assert str(asyncio.run(main())) == "done"
    assert len(set(talk.effects)) == len(talk.effects) == 2


def test_a_stored_context_is_refused_where_the_journal_holds_other_calls(talk: Any) -> None:
    talk.script([("pay", {"i": 0})], "done")

    async def main() -> None:
        stored = await stored_at_the_question(talk.agent([paying(talk)]), run_id="r-1")
        talk.world, other = type(talk.world)(), talk.world
        talk.script([("other", {})], "done")
        await talk.agent([]).run(user_msg="go", run_id="r-1")
        assert talk.effects == other.effects == []
        with pytest.raises(BatchMismatch, match="stored context"):
            await taken_up(talk.agent([paying(talk)]), stored, "yes")

    asyncio.run(main())
    assert talk.effects == []


def test_a_run_that_was_taken_up_in_its_middle_is_recorded_as_one_that_was_not(talk: Any) -> None:
    """A turn records what it adds to the scratchpad, so what the turns before the stored context recorded must be known to it."""

    async def look(i: int) -> str:
        """Looks."""
        return f"looked {i}"

    talk.script([("look", {"i": 0})], [("pay", {"i": 1})], [("look", {"i": 2})], "done")

    async def main() -> Any:
        stored = await stored_at_the_question(talk.agent([look, paying(talk)]), run_id="r-1")
        agent = talk.agent([look, paying(talk)])
        handler = agent.run(ctx=Context.from_dict(agent, stored))
        handler.ctx.send_event(HumanResponseEvent(i=1, response="yes"))
        return await asyncio.wait_for(handler, 20)

    assert str(asyncio.run(main())) == "done"
    heard, asked = talk.llm.heard[-1], talk.llm.asked
    kept = [
        write.kept
        for state in talk.world.store.batches.values()
        for write in writes_of(state.manifest.payload or b"")
        if write.path == "scratchpad"
    ]
    assert kept == [0, 1, 3, 5]
    assert str(talk.run(talk.agent([look, paying(talk)]))) == "done"
    assert talk.llm.asked == asked, "it was replayed"
    assert [message.content for message in heard if message.role.value == "tool"] == [
        "looked 0",
        "1: yes",
        "looked 2",
    ]


def test_what_a_call_wrote_that_is_in_the_stored_state_already_is_not_written_twice(talk: Any) -> None:
    """The context is stored between a call's write and its end; the call's record is then replayed into that state."""
    written, goes_on = asyncio.Event(), asyncio.Event()

    async def note(ctx: Any) -> str:
        """Writes, and goes on for a while."""
        await ctx.store.set("log", [*await ctx.store.get("log", default=[]), "noted"])
        await ctx.store.set("n", 1 + await ctx.store.get("n", default=0))
        written.set()
        await goes_on.wait()
        await ctx.store.set("n", 1 + await ctx.store.get("n", default=0))
        talk.effects.append("noted")
        return "noted"

    note.__annotations__["ctx"] = Context
    talk.script([("note", {}), ("pay", {"i": 1})], "done")

    async def stored_halfway() -> Any:
        handler = talk.agent([note, paying(talk)]).run(user_msg="go", run_id="r-1")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                break
        await written.wait()
        stored = handler.ctx.to_dict()
        while not stored["workers"]["call_tool"]["collected_waiters"]:
            await asyncio.sleep(0.001)
            stored = handler.ctx.to_dict()
        goes_on.set()
        while not any(event.kind is EventKind.FINISHED for event in talk.world.events.all):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await handler.cancel_run()
        with pytest.raises(BaseException):  # noqa: B017 - cancelled
            await handler
        return stored

    async def main() -> tuple[Any, Any]:
        stored = await stored_halfway()
        agent = talk.agent([note, paying(talk)])
        handler = agent.run(ctx=Context.from_dict(agent, stored))
        handler.ctx.send_event(HumanResponseEvent(i=1, response="yes"))
        assert str(await asyncio.wait_for(handler, 20)) == "done"
        return await handler.ctx.store.get("log"), await handler.ctx.store.get("n")

    assert asyncio.run(main()) == (["noted"], 2)
    assert talk.effects.count("noted") == 1
