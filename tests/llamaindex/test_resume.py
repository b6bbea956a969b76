"""Run again with the same run id: what is recorded is replayed, what is not is run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.agent.workflow.workflow_events import AgentOutput, ToolCall
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory

from support.harness import Killed
from toolslot import BatchKey, BatchMismatch, Draining, NotDone, SlotState, ToolPolicy, ToolslotError
from toolslot.journal import open_journal
from toolslot_llamaindex._turn import Place, put


def crashing(talk: Any, at: int, first: list[bool]) -> Any:
    """A tool whose call number `at` ends the process when it is entered for the first time, once the others are through."""

    async def pay(i: int) -> str:
        """Pays."""
        talk.effects.append(f"pay {i}")
        if i == at and first:
            first.clear()
            while len(set(talk.effects)) < 5:  # noqa: ASYNC110 - it is told by a list
                await asyncio.sleep(0)
            talk.crash()
        return f"paid {i}"

    return pay


def five() -> list[Any]:
    return [("pay", {"i": i}) for i in range(5)]


def test_a_resumed_run_asks_the_model_nothing_it_has_answered_and_runs_only_what_is_not_recorded(
    talk: Any,
) -> None:
    talk.script(five(), "done")
    pay = crashing(talk, 2, [True])
    with pytest.raises(ToolslotError):
        talk.run(talk.agent([pay], max_parallel=5))
    asked = talk.llm.asked
    result = talk.run(talk.agent([pay], max_parallel=5))
    assert str(result) == "done"
    assert (asked, talk.llm.asked) == (1, 2)
    assert talk.heard() == [f"paid {i}" for i in range(5)]
    assert talk.effects.count("pay 2") == 2


def test_a_finished_run_run_again_gives_the_same_answer_without_model_and_tools(talk: Any) -> None:
    talk.script(five(), [("pay", {"i": 7})], "done")
    pay = crashing(talk, -1, [])
    first = talk.run(talk.agent([pay]))
    asked, effects = talk.llm.asked, list(talk.effects)
    again = talk.run(talk.agent([pay]))
    assert str(first) == str(again) == "done"
    assert [call.tool_id for call in first.tool_calls] == [call.tool_id for call in again.tool_calls]
    assert (talk.llm.asked, talk.effects) == (asked, effects)


def test_a_run_id_that_is_known_with_another_input_is_refused(talk: Any) -> None:
    talk.script("done")
    talk.run(talk.agent([]))
    with pytest.raises(BatchMismatch, match="another input"):
        talk.run(talk.agent([]), user_msg="something else")
    assert talk.llm.asked == 1


def test_without_a_run_id_it_works_as_ever_and_warns_once(talk: Any, caplog: Any) -> None:
    talk.script(five(), "done")
    agent = talk.agent([crashing(talk, -1, [])])
    for _ in range(2):
        assert str(talk.run(agent, run_id=None)) == "done"
    assert len(talk.effects) == 10
    assert [record.getMessage() for record in caplog.records].count("toolslot.not_durable") <= 1
    assert sum("not_durable" in record.getMessage() for record in caplog.records) == 1
    assert agent.toolslot_executor.journal.keys().result() == ()


def test_the_turn_and_its_slots_are_in_the_journal_before_anything_runs(talk: Any) -> None:
    seen: list[Any] = []

    async def look() -> str:
        """Looks."""
        record = agent.toolslot_executor.journal.load(BatchKey("r-1", "turn-0")).result()
        seen.append([slot.state for slot in record.slots])
        assert record.manifest.payload
        return "looked"

    talk.script([("look", {}), ("look", {}), ("look", {})], "done")
    agent = talk.agent([look], max_parallel=1)
    talk.run(agent)
    assert seen[0] == [SlotState.RUNNING, SlotState.RESERVED, SlotState.RESERVED]


def test_a_provider_that_fails_at_the_second_question_costs_no_tool_a_second_run(talk: Any) -> None:
    failing = [True]

    def before(number: int) -> None:
        if number == 1 and failing:
            failing.clear()
            raise ConnectionError("503")

    talk.script(five(), "done", before=before)
    agent = talk.agent([crashing(talk, -1, [])])
    with pytest.raises(ConnectionError):
        talk.run(agent)
    assert str(talk.run(agent)) == "done"
    assert sorted(talk.effects) == [f"pay {i}" for i in range(5)]
    assert talk.llm.asked == 3  # once each, and the question that failed


def test_a_call_that_was_in_flight_is_reconciled(talk: Any) -> None:
    talk.script(five(), "done")
    asked: list[int] = []

    def reconcile(slot: Any) -> Any:
        asked.append(slot.args["i"])
        return NotDone()

    pay = crashing(talk, 3, [True])
    policies = {"pay": ToolPolicy(reconcile=reconcile)}
    with pytest.raises(ToolslotError):
        talk.run(talk.agent([pay], max_parallel=5, policies=policies))
    talk.run(talk.agent([pay], max_parallel=5, policies=policies))
    assert 3 in asked
    assert talk.effects.count("pay 3") == 2


@pytest.mark.parametrize("kind", [ChatMemoryBuffer, Memory])
def test_the_users_own_memory_holds_the_message_once_after_a_resume(talk: Any, kind: Any) -> None:
    talk.script(five(), "done")
    pay = crashing(talk, 2, [True])
    memory = kind.from_defaults()
    asyncio.run(memory.aput(ChatMessage(role="user", content="before")))
    with pytest.raises(ToolslotError):
        talk.run(talk.agent([pay], max_parallel=5), memory=memory)
    talk.run(talk.agent([pay], max_parallel=5), memory=memory)
    roles = [message.role.value for message in asyncio.run(memory.aget_all())]
    if isinstance(memory, Memory):
        asyncio.run(memory.sql_store._async_engine.dispose())
    assert roles == ["user", "user", "assistant", *["tool"] * 5, "assistant"]


def test_a_run_goes_on_from_a_journal_on_disk(talk: Any, tmp_path: Any) -> None:
    talk.script(five(), "done")
    pay = crashing(talk, -1, [])
    for _ in range(2):
        journal = open_journal(tmp_path / "journal")
        assert str(talk.run(talk.agent([pay], journal=journal))) == "done"
        journal.close()
    assert (len(talk.effects), talk.llm.asked) == (5, 2)


def test_a_killed_run_leaves_its_model_answer_behind(talk: Any) -> None:
    async def die() -> str:
        """Dies."""
        talk.crash()
        raise Killed

    async def live() -> str:
        """Lives."""
        return "alive"

    talk.script([("die", {})], "done")
    with pytest.raises(BaseException):  # noqa: B017 - whatever the framework makes of it
        talk.run(talk.agent([die]))
    live.__name__ = "die"
    assert str(talk.run(talk.agent([live]))) == "done"
    assert talk.llm.asked == 2


def test_a_call_that_may_not_start_stops_the_run_only_after_its_siblings_are_recorded(talk: Any) -> None:
    async def work(i: int) -> str:
        """Works."""
        talk.effects.append(f"work {i}")
        await asyncio.sleep(0.01)
        return str(i)

    async def drain(i: int) -> str:
        """Has the executor start no more."""
        agent.toolslot_executor.drain(0)
        return str(i)

    talk.script([("work", {"i": 1}), ("drain", {"i": 0}), ("work", {"i": 2}), ("work", {"i": 3})], "done")
    agent = talk.agent([work, drain], max_parallel=2)
    with pytest.raises(Draining):
        talk.run(agent)
    assert talk.effects == ["work 1"]
    agent = talk.agent([work, drain], max_parallel=2)
    assert str(talk.run(agent)) == "done"
    assert talk.effects == ["work 1", "work 2", "work 3"]
    assert talk.heard() == ["1", "0", "2", "3"]


def test_an_event_of_an_earlier_turn_takes_no_slot_of_the_current_one(talk: Any) -> None:
    async def pay(i: int) -> str:
        """Pays."""
        talk.effects.append(f"paid {i}")
        return "paid"

    talk.script([("pay", {"i": 0}, "same")], [("pay", {"i": 0}, "same")], "done")
    agent = talk.agent([pay])
    repeated: list[Any] = []

    def repeats(handler: Any, event: Any) -> None:
        """At the second answer of the model the call of the first comes once more, as an event that was late would."""
        if isinstance(event, AgentOutput) and event.tool_calls and talk.llm.asked == 2:
            late = ToolCall(tool_name="pay", tool_kwargs={"i": 0}, tool_id="same")
            put(late, Place(turn=0, index=0))
            repeated.append(late)
            handler.ctx.send_event(late)

    async def main() -> Any:
        handler = agent.run(user_msg="go", run_id="r-1")
        async for event in handler.stream_events():
            repeats(handler, event)
        return await handler

    result = asyncio.run(main())
    assert len(repeated) == 1
    assert talk.effects == ["paid 0", "paid 0"]
    assert len(result.tool_calls) == 2
    assert talk.llm.asked == 3
