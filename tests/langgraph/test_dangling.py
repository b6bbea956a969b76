"""A thread to which somebody spoke while calls were open: its calls get answers from the journal, so that providers take it again."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command, interrupt

from support.sending import FORMS
from toolslot import InvalidSetting, MemoryJournal, ToolPolicy
from toolslot_langgraph import answer_dangling_calls

NEVER_MIND: Any = {"messages": [HumanMessage("never mind", id="h-2")]}
UNKNOWN = "It is not known whether this call was made: it may have had its effect."


def repaired(talk: Any, messages: Any, **settings: Any) -> list[Any]:
    return answer_dangling_calls(messages, talk.config, journal=MemoryJournal(talk.world.store), **settings)


def spoken_to(talk: Any, graph: Any) -> list[Any]:
    """The conversation after a person has said something instead of a resume."""
    messages = [*graph.get_state(talk.config).values["messages"], *NEVER_MIND["messages"]]
    talk.asked = 0
    return messages


def told(messages: list[Any]) -> list[tuple[str, str, str]]:
    return [(m.tool_call_id, m.status, m.content) for m in messages if isinstance(m, ToolMessage)]


def test_each_call_gets_what_the_journal_knows_of_it(talk: Any, bank: Any) -> None:
    """0 and 3 are recorded; 1 and 2 had their effect and left no record."""
    with bank.dead():
        messages = spoken_to(talk, talk.graph([bank.tool]))
        found = repaired(talk, messages)
    assert told(found) == [
        ("c0", "success", "paid 0"),
        ("c1", "error", UNKNOWN),
        ("c2", "error", UNKNOWN),
        ("c3", "success", "paid 3"),
    ]
    assert [type(message) for message in found] == [AIMessage, *[ToolMessage] * 4, HumanMessage]
    assert repaired(talk, found) == found
    assert sorted(bank.paid) == [0, 1, 2, 3]


@pytest.mark.parametrize("form", FORMS)
def test_in_every_form_results_and_failures_are_told_apart(talk: Any, form: str) -> None:
    talk.calls = [{"name": "work", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in range(3)]

    def work(i: int) -> str:
        """Works."""
        if i == 1:
            raise ConnectionError("the line is dead")
        return f"did {i}"

    async def awork(i: int) -> str:
        """Works."""
        return work(i)

    graph = FORMS[form](talk, [tool("work")(awork if talk.asynchronous else work)])
    with pytest.raises(ConnectionError):
        talk.run(graph, {"messages": [HumanMessage("go", id="h-1")]})
    talk.crash()
    assert sorted(told(repaired(talk, spoken_to(talk, graph)))) == [
        ("c0", "success", "did 0"),
        ("c1", "error", "This call failed: the line is dead [builtins.ConnectionError]"),
        ("c2", "success", "did 2"),
    ]


def test_the_thread_goes_on_with_the_repaired_conversation(talk: Any, bank: Any) -> None:
    with bank.dead():
        graph = talk.graph([bank.tool])
        found = repaired(talk, spoken_to(talk, graph))
    change = {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *found]}
    graph.update_state(talk.config, change, as_node="tools")
    state = graph.get_state(talk.config)
    assert [message.content for message in state.values["messages"]] == [m.content for m in found]
    assert state.next == ()


def test_calls_that_wait_for_a_person_or_that_a_living_process_works_on_are_left_alone(
    talk: Any, bank: Any
) -> None:
    @tool
    def pay(i: int) -> str:
        """Asks."""
        return str(interrupt(i))

    talk.calls = [{"name": "pay", "args": {"i": 0}, "id": "c0"}]
    graph = talk.graph([pay])
    talk.start(graph)
    messages = spoken_to(talk, graph)
    assert repaired(talk, messages) == messages


def test_while_a_living_process_works_on_the_batch_nothing_of_it_is_answered(talk: Any, bank: Any) -> None:
    talk.crash = lambda: None  # it lives on
    with bank.dead():
        messages = spoken_to(talk, talk.graph([bank.tool]))
        assert [each[0] for each in told(repaired(talk, messages))] == ["c0", "c3"]


def test_of_calls_that_the_journal_does_not_know_nothing_is_known(talk: Any) -> None:
    call: Any = {"name": "pay", "args": {"i": 0}, "id": "c0"}
    messages = [AIMessage("", id="ai", tool_calls=[call]), HumanMessage("well?")]
    assert told(repaired(talk, messages)) == [("c0", "error", UNKNOWN)]


def test_of_equal_responses_each_gets_its_own_results(talk: Any) -> None:
    ran: list[int] = []
    talk.calls = [{"name": "count", "args": {}, "id": "same", "type": "tool_call"}]

    @tool
    def count() -> str:
        """Counts."""
        ran.append(0)
        return f"result {len(ran)}"

    graph = talk.graph([count])
    for _ in range(2):
        talk.start(graph)
    messages = [m for m in graph.get_state(talk.config).values["messages"] if isinstance(m, AIMessage)]
    found = told(repaired(talk, [*messages, HumanMessage("well?")]))
    assert [each[2] for each in found] == ["result 1", "result 2"]
    without_ids = [message.model_copy(update={"id": None}) for message in messages]
    found = told(repaired(talk, [*without_ids, HumanMessage("well?")]))
    assert [each[2] for each in found] == ["result 1", "result 2"]


def test_of_a_command_the_message_is_taken(talk: Any) -> None:
    @tool
    def moves(call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Goes elsewhere."""
        return Command(update={"messages": [ToolMessage("moved", tool_call_id=call_id)]})

    talk.calls = [{"name": "moves", "args": {}, "id": "m", "type": "tool_call"}]
    graph = talk.graph([moves])
    talk.start(graph)
    (first, *_) = graph.get_state(talk.config).values["messages"]
    assert told(repaired(talk, [first])) == [("m", "success", "moved")]


def test_a_config_that_names_no_run_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="thread_id"):
        answer_dangling_calls([], {}, journal=MemoryJournal())


def test_a_run_key_names_the_run_too(talk: Any) -> None:
    @tool
    def fine(i: int) -> str:
        """Works."""
        return "fine"

    talk.calls = [{"name": "fine", "args": {"i": 0}, "id": "c", "type": "tool_call"}]
    talk.config["configurable"]["durable_run_key"] = "order-17"
    graph = talk.graph([fine], policies={"fine": ToolPolicy(idempotent=True)})
    talk.start(graph)
    (first, *_) = graph.get_state(talk.config).values["messages"]
    assert told(repaired(talk, [first])) == [("c", "success", "fine")]
