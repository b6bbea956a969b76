"""Tools with an effect key in graphs: one effect, whichever thread, agent or host asks, and an answer that the model can read."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.types import Command

from support.sending import FORMS
from toolslot import Batch, BatchKey, Call, EventKind, MemoryJournal, SlotRecord, SlotState, ToolPolicy

KEYED = {"pay": ToolPolicy(effect_key="invoice", not_done=ConnectionRefusedError)}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


class Shop:
    """`pay`, in the form that the talk needs; it raises `broken` when there is one."""

    def __init__(self, talk: Any) -> None:
        self.paid: list[tuple[str, int]] = []
        self.broken: Exception | None = None
        shop = self

        def body(invoice: str, amount: int) -> tuple[str, dict[str, Any]]:
            if shop.broken is not None:
                raise shop.broken
            shop.paid.append((invoice, amount))
            return f"paid {invoice}", {"receipt": len(shop.paid)}

        def pay(invoice: str, amount: int) -> Any:
            """Pays."""
            return body(invoice, amount)

        async def apay(invoice: str, amount: int) -> Any:
            """Pays."""
            return body(invoice, amount)

        self.tool = tool("pay", response_format="content_and_artifact")(apay if talk.asynchronous else pay)


def call(invoice: Any, amount: Any = 5, id: str = "c0") -> dict[str, Any]:
    return {"name": "pay", "args": {"invoice": invoice, "amount": amount}, "id": id, "type": "tool_call"}


def answers(outcome: Any) -> list[ToolMessage]:
    return [message for message in outcome["messages"] if isinstance(message, ToolMessage)]


def thread(talk: Any, name: str) -> None:
    talk.config = {"configurable": {"thread_id": name}}


def slots(talk: Any) -> list[SlotRecord]:
    journal = MemoryJournal(talk.world.store)
    records = [journal.load(key).result() for key in journal.keys().result()]
    return [slot for record in records if record is not None for slot in record.slots]


def test_another_thread_gets_the_result_under_its_own_call_id(talk: Any, form: Any) -> None:
    shop = Shop(talk)
    for name in ("t-1", "t-2"):
        thread(talk, name)
        talk.calls = [call("i-1", id=f"call of {name}")]
        (message,) = answers(talk.start(form(talk, [shop.tool], policies=KEYED)))
        assert (message.tool_call_id, message.name) == (f"call of {name}", "pay")
        assert (message.content, message.artifact, message.status) == ("paid i-1", {"receipt": 1}, "success")
    assert shop.paid == [("i-1", 5)]
    assert len(talk.world.events.calls(EventKind.DEDUPLICATED)) == 1


def test_two_equal_calls_of_one_response_are_paid_once(talk: Any, form: Any) -> None:
    shop = Shop(talk)
    talk.calls = [call("i-1", id="c0"), call("i-1", id="c1"), call("i-2", id="c2")]
    found = answers(talk.start(form(talk, [shop.tool], policies=KEYED)))
    assert [(m.tool_call_id, m.content) for m in found] == [
        ("c0", "paid i-1"),
        ("c1", "paid i-1"),
        ("c2", "paid i-2"),
    ]
    assert len({m.id for m in found}) == 3
    assert sorted(shop.paid) == [("i-1", 5), ("i-2", 5)]


def test_a_conflict_and_a_missing_key_are_answers_that_the_model_can_read(talk: Any, form: Any) -> None:
    shop = Shop(talk)
    talk.calls = [call("i-1")]
    talk.start(form(talk, [shop.tool], policies=KEYED))
    thread(talk, "t-2")
    talk.calls = [call("i-1", 120, id="c0"), call(None, id="c1")]
    for again in (False, True):
        graph = form(talk, [shop.tool], policies=KEYED)
        conflict, none = answers(talk.resume(graph) if again else talk.start(graph))
        assert (conflict.status, none.status) == ("error", "error")
        assert "same effect key with other arguments" in conflict.text
        assert "'invoice' must be an int or a string" in none.text
    assert shop.paid == [("i-1", 5)]


def test_a_command_of_the_same_thread_steers_again_and_elsewhere_only_its_message_counts(talk: Any) -> None:
    ran: list[str] = []

    @tool
    def pay(invoice: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Pays."""
        ran.append(invoice)
        return Command(update={"messages": [ToolMessage(f"paid {invoice}", tool_call_id=tool_call_id)]})

    policies = {"pay": ToolPolicy(effect_key="invoice")}

    def calls(*ids: str) -> None:
        talk.calls = [{"name": "pay", "args": {"invoice": "i-1"}, "id": each} for each in ids]

    calls("c0", "c1")
    found = answers(talk.start(talk.graph([pay], policies=policies)))
    assert [(m.tool_call_id, m.content) for m in found] == [("c0", "paid i-1"), ("c1", "paid i-1")]
    thread(talk, "t-2")
    calls("c7")
    found = answers(talk.start(talk.graph([pay], policies=policies)))
    assert [(m.tool_call_id, m.content) for m in found] == [("c7", "paid i-1")]
    assert ran == ["i-1"]


def test_a_batch_of_the_core_and_a_graph_share_an_effect(talk: Any) -> None:
    shop = Shop(talk)
    batch = Batch(run_id="core", batch_id="b", calls=[Call(tool="pay", args=call("i-1")["args"])])
    policies = {"pay": ToolPolicy(effect_key="invoice")}
    assert talk.world.executor(policies=policies).run_all(batch, {"pay": lambda **_: {"receipt": 7}}) == [
        {"receipt": 7}
    ]
    talk.calls = [call("i-1")]
    (message,) = answers(talk.start(talk.graph([shop.tool], policies=KEYED)))
    assert message.content == '{"receipt": 7}'
    talk.calls = [call("i-2")]
    thread(talk, "t-2")
    talk.start(talk.graph([shop.tool], policies=KEYED))
    again = Batch(run_id="core", batch_id="b-2", calls=[Call(tool="pay", args=call("i-2")["args"])])
    assert talk.world.executor(policies=policies).run_all(again, {"pay": lambda **_: "no"}) == ["paid i-2"]
    assert shop.paid == [("i-2", 5)]


def test_without_a_checkpointer_nothing_replays_and_an_effect_is_had_once(talk: Any, form: Any) -> None:
    shop = Shop(talk)
    talk.calls = [call("i-1")]
    for _ in range(2):
        graph = form(talk, [shop.tool], saver=None, policies=KEYED)
        given: Any = {"messages": [HumanMessage("go")]}
        outcome = asyncio.run(graph.ainvoke(given)) if talk.asynchronous else graph.invoke(given)
        (message,) = answers(outcome)
        assert message.content == "paid i-1"
    assert shop.paid == [("i-1", 5)]


def failing(talk: Any, error: Exception) -> Shop:
    """A first thread whose payment fails, and its node makes an answer of that."""
    shop = Shop(talk)
    shop.broken = error
    talk.calls = [call("i-1")]
    (message,) = answers(talk.start(talk.graph([shop.tool], policies=KEYED, handle_tool_errors=True)))
    assert message.status == "error"
    shop.broken = None
    thread(talk, "t-2")
    return shop


def test_a_failure_that_the_node_made_an_answer_of_frees_the_key_by_its_type(talk: Any) -> None:
    shop = failing(talk, ConnectionRefusedError("nobody there"))
    (message,) = answers(talk.start(talk.graph([shop.tool], policies=KEYED)))
    assert message.content == "paid i-1"


def test_any_other_failure_behind_an_answer_is_asked_about_and_the_person_settles_the_first_call(
    talk: Any,
) -> None:
    shop = failing(talk, TimeoutError("read"))
    out = talk.start(talk.graph([shop.tool], policies=KEYED))
    (question,) = out["__interrupt__"][0].value["questions"]
    assert question["reason"] == "unknown"
    answer = Command(resume={question["id"]: {"done": "it was paid"}})
    (message,) = answers(talk.run(talk.graph([shop.tool], policies=KEYED), answer))
    assert (message.content, message.tool_call_id) == ("it was paid", "c0")
    assert shop.paid == []
    first, second = slots(talk)
    assert (first.state, second.state) == (SlotState.SUCCEEDED, SlotState.SUCCEEDED)
    assert second.holder is not None
    assert second.holder.batch == BatchKey("t-1", second.holder.batch.batch_id)


def test_calls_that_wait_for_the_same_one_are_asked_about_once_and_all_go_on(talk: Any) -> None:
    shop = failing(talk, TimeoutError("read"))
    talk.calls = [call("i-1", id="c0"), call("i-2", id="c1"), call("i-1", id="c2")]
    out = talk.start(talk.graph([shop.tool], policies=KEYED))
    (question,) = out["__interrupt__"][0].value["questions"]
    answer = Command(resume={question["id"]: {"done": "it was paid"}})
    found = answers(talk.run(talk.graph([shop.tool], policies=KEYED), answer))
    assert [(m.tool_call_id, m.content) for m in found] == [
        ("c0", "it was paid"),
        ("c1", "paid i-2"),
        ("c2", "it was paid"),
    ]
    assert shop.paid == [("i-2", 5)]


def test_arguments_that_do_not_fit_the_tool_free_the_key(talk: Any) -> None:
    """The model mends its call: the same key with other arguments is no conflict, for nothing happened."""
    shop = Shop(talk)
    talk.calls = [call("i-1", "much")]
    (message,) = answers(talk.start(talk.graph([shop.tool], policies=KEYED, handle_tool_errors=True)))
    assert message.status == "error"
    thread(talk, "t-2")
    talk.calls = [call("i-1", 5)]
    (message,) = answers(talk.start(talk.graph([shop.tool], policies=KEYED)))
    assert message.content == "paid i-1"
