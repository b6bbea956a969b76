"""Tools with an effect key in agents: one effect, whichever run or host asks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from toolslot import EventKind, ToolPolicy
from toolslot_llamaindex import ToolOutcomeQuestion

KEYED = {"pay": ToolPolicy(effect_key="invoice", not_done=ConnectionRefusedError)}


def shop(talk: Any, broken: list[Exception] | None = None) -> Any:
    async def pay(invoice: str, amount: int = 5) -> str:
        """Pays."""
        if broken:
            raise broken.pop()
        talk.effects.append(f"{invoice}: {amount}")
        return f"paid {invoice}"

    return pay


def ask(talk: Any, run_id: str, *calls: dict[str, Any], **settings: Any) -> list[str]:
    """What the model hears of calls to `pay` in a run of this name."""
    talk.script([("pay", each) for each in calls], "done")
    talk.run_id = run_id
    talk.run(talk.agent([settings.pop("tool", None) or shop(talk)], policies=KEYED, **settings))
    return list(talk.heard())


ONE = {"invoice": "i-1"}


def test_another_run_gets_the_recorded_result(talk: Any) -> None:
    assert [ask(talk, run, ONE) for run in ("r-1", "r-2")] == [["paid i-1"]] * 2
    assert talk.effects == ["i-1: 5"]
    assert len(talk.world.events.calls(EventKind.DEDUPLICATED)) == 1


def test_two_equal_calls_of_one_turn_are_paid_once(talk: Any) -> None:
    assert ask(talk, "r-1", ONE, ONE, {"invoice": "i-2"}) == ["paid i-1", "paid i-1", "paid i-2"]
    assert sorted(talk.effects) == ["i-1: 5", "i-2: 5"]


def test_a_conflict_and_a_missing_key_are_answers_that_the_model_can_read(talk: Any) -> None:
    ask(talk, "r-1", ONE)
    conflict, none = ask(talk, "r-2", {**ONE, "amount": 120}, {"invoice": None})
    assert "same effect key with other arguments" in conflict
    assert "'invoice' must be an int or a string" in none
    assert talk.effects == ["i-1: 5"]


def test_without_a_run_id_nothing_replays_and_an_effect_is_had_once(talk: Any) -> None:
    heard = []
    for _ in range(2):
        talk.script([("pay", ONE)], "done")
        agent = talk.agent([shop(talk)], policies=KEYED)

        async def main(agent: Any = agent) -> Any:
            return await agent.run(user_msg="go")

        asyncio.run(main())
        heard.append(talk.heard())
    assert heard == [["paid i-1"]] * 2
    assert talk.effects == ["i-1: 5"]


def test_a_failure_that_became_an_answer_frees_the_key_if_its_type_says_so(talk: Any) -> None:
    ask(talk, "r-1", ONE, tool=shop(talk, [ConnectionRefusedError("nobody there")]))
    assert ask(talk, "r-2", ONE) == ["paid i-1"]


def test_any_other_failure_is_asked_about_and_the_person_settles_the_first_call(talk: Any) -> None:
    ask(talk, "r-1", ONE, tool=shop(talk, [TimeoutError("read")]))
    talk.script([("pay", ONE)], "done")
    talk.run_id = "r-2"
    _, events = talk.stream(talk.agent([shop(talk)], policies=KEYED), [{"done": "it was paid"}])
    assert talk.heard() == ["it was paid"]
    assert talk.effects == []
    assert [event.idempotency_key for event in events if hasattr(event, "idempotency_key")] != []


def test_calls_that_wait_for_the_same_one_are_asked_about_once_and_all_go_on(talk: Any) -> None:
    ask(talk, "r-1", ONE, tool=shop(talk, [TimeoutError("read")]))
    talk.script([("pay", ONE), ("pay", {"invoice": "i-2"}), ("pay", ONE)], "done")
    talk.run_id = "r-2"
    _, events = talk.stream(talk.agent([shop(talk)], policies=KEYED), [{"done": "it was paid"}])
    assert talk.heard() == ["it was paid", "paid i-2", "it was paid"]
    assert sum(isinstance(event, ToolOutcomeQuestion) for event in events) == 1
    assert talk.effects == ["i-2: 5"]


@pytest.mark.parametrize("wrong", [{"invoice": "i-1", "amuont": 5}, {"invoice": "i-1", "amount": 5, "x": 1}])
def test_arguments_that_do_not_fit_the_tool_free_the_key(talk: Any, wrong: dict[str, Any]) -> None:
    (error,) = ask(talk, "r-1", wrong)
    assert "unexpected keyword" in error
    assert ask(talk, "r-2", {"invoice": "i-1", "amount": 7}) == ["paid i-1"]
