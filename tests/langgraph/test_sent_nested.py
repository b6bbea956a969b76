"""Agents inside tools, whichever way their calls are run, and what tools hand over besides messages."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send

from support.harness import World
from support.sending import FORMS, GO, Work, answers, calls, graph_of, records
from toolslot import Limits, ToolPolicy

pytestmark = [
    pytest.mark.pairwise,
    pytest.mark.filterwarnings("ignore:coroutine 'arun_with_retry' was never awaited"),
]

ONE = Limits(batch=1, process=1)


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


class Team:
    """Sub-agents as tools: `research(i)` runs an agent that calls `step` twice. They share the journal of the outer agent."""

    def __init__(self, talk: Any, form: Any) -> None:
        self.talk, self.form = talk, form
        self.steps: list[str] = []
        self.entered: list[int] = []
        self.broken = set[str]()
        self.journal: Any = None
        team = self

        def body(name: str) -> str:
            team.steps.append(name)
            if name in team.broken:
                raise ConnectionError(name)
            return f"step {name}"

        def step(name: str) -> str:
            """Steps."""
            return body(name)

        async def astep(name: str) -> str:
            """Steps."""
            return body(name)

        self.step = tool("step")(astep if talk.asynchronous else step)

        def research(i: int) -> str:
            """Researches."""
            team.entered.append(i)
            return team.told(team.inner(i).invoke({"messages": [HumanMessage(f"{i}")]}))

        async def aresearch(i: int) -> str:
            """Researches."""
            team.entered.append(i)
            return team.told(await team.inner(i).ainvoke({"messages": [HumanMessage(f"{i}")]}))

        self.research = tool("research")(aresearch if talk.asynchronous else research)
        talk.calls = [
            {"name": "research", "args": {"i": i}, "id": f"r{i}", "type": "tool_call"} for i in range(2)
        ]

    def told(self, outcome: Any) -> str:
        return "+".join(content for _, content in answers(outcome))

    def inner(self, i: int) -> Any:
        """The sub-agent, one task per call, with the checkpointer it inherits."""
        asked = [
            {"name": "step", "args": {"name": f"{i}.{n}"}, "id": f"s{n}", "type": "tool_call"}
            for n in range(2)
        ]
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": [AIMessage("", id=f"in-{i}", tool_calls=asked)]})
        graph.add_node("tools", self.talk.node([self.step], journal=self.journal, limits=ONE))
        graph.add_edge(START, "model")
        graph.add_conditional_edges(
            "model",
            lambda state: [Send("tools", [call]) for call in state["messages"][-1].tool_calls],
            ["tools"],
        )
        return graph.compile()

    def outer(self) -> Any:
        self.journal = self.talk.world.executor().journal
        return self.form(self.talk, [self.research], journal=self.journal, limits=ONE)


def test_two_sub_agents_at_a_limit_of_one_do_not_dead_lock(talk: Any, form: Any) -> None:
    team = Team(talk, form)
    outcome = talk.run(team.outer(), GO)
    assert answers(outcome) == [("r0", "step 0.0+step 0.1"), ("r1", "step 1.0+step 1.1")]
    assert sorted(team.steps) == ["0.0", "0.1", "1.0", "1.1"]


def test_the_calls_of_sub_agents_have_slots_of_their_own(talk: Any, form: Any) -> None:
    team = Team(talk, form)
    talk.run(team.outer(), GO)
    found = sorted(sorted(slot.spec.tool for slot in record.slots) for record in records(talk))
    assert found == [["research", "research"], ["step", "step"], ["step", "step"]]
    assert all(record.fence.closed for record in records(talk))


def test_a_sub_agent_that_failed_goes_on_where_it_stood(talk: Any, form: Any) -> None:
    team = Team(talk, form)
    team.broken = {"1.1"}
    with pytest.raises(ConnectionError):
        talk.run(team.outer(), GO)
    team.broken = set()
    outcome = talk.run(team.outer(), None)
    assert answers(outcome) == [("r0", "step 0.0+step 0.1"), ("r1", "step 1.0+step 1.1")]
    assert sorted(team.steps) == ["0.0", "0.1", "1.0", "1.1", "1.1"]


def test_an_agent_that_is_a_node_of_another_graph_finds_its_batch_on_resume(talk: Any, form: Any) -> None:
    work = Work(talk, broken={1})
    talk.calls = calls("a", "b", "c")

    def outer() -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("team", form(talk, [work.tool], saver=None))
        graph.add_edge(START, "team")
        return graph.compile(checkpointer=talk.saver)

    with pytest.raises(ConnectionError):
        talk.run(outer(), GO)
    done = [i for i in work.ran if i != 1]
    work.broken = set()
    assert len(answers(talk.run(outer(), None))) == 3
    assert [i for i in work.ran if i in done] == done
    assert len(records(talk)) == 1


# --- commands -----------------------------------------------------------------------------------------------------------------


class Hands:
    """Tools that return commands; each sync run is noted."""

    def __init__(self, talk: Any, goto: Any, broken: bool = True) -> None:
        self.ran: list[int] = []
        self.broken = broken
        hands = self

        def body(i: int, call_id: str) -> Any:
            hands.ran.append(i)
            if hands.broken and i == 2:
                raise ConnectionError
            return goto(i, ToolMessage(f"hand {i}", tool_call_id=call_id))

        def hand(i: int, call_id: Annotated[str, InjectedToolCallId]) -> Any:
            """Hands over."""
            return body(i, call_id)

        async def ahand(i: int, call_id: Annotated[str, InjectedToolCallId]) -> Any:
            """Hands over."""
            return body(i, call_id)

        self.tool = tool("work")(ahand if talk.asynchronous else hand)


def team_graph(talk: Any, hands: Hands, inner: Any) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("agent", inner, destinations=("desk",))
    graph.add_node("desk", lambda state: {"messages": [AIMessage("at the desk")]})
    graph.add_edge(START, "agent")
    graph.add_edge("desk", END)
    return graph.compile(checkpointer=talk.saver)


def test_a_command_with_an_update_is_replayed_as_it_was(talk: Any, form: Any) -> None:
    talk.calls = calls("a", "b", "c")
    hands = Hands(talk, lambda i, message: Command(update={"messages": [message]}))
    with pytest.raises(ConnectionError):
        talk.run(form(talk, [hands.tool]), GO)
    hands.broken = False
    talk.saver.writes.clear()
    outcome = talk.run(form(talk, [hands.tool]), None)
    assert sorted(answers(outcome)) == [("a", "hand 0"), ("b", "hand 1"), ("c", "hand 2")]
    assert len([i for i in hands.ran if i != 2]) == 2


@pytest.mark.parametrize("sends", [False, True], ids=["to a node", "by Send"])
def test_a_hand_over_to_the_parent_comes_once_and_is_not_run_again(talk: Any, form: Any, sends: bool) -> None:
    def goto(i: int, message: ToolMessage) -> Any:
        target: Any = [Send("desk", {"messages": [message]})] if sends else "desk"
        return Command(graph=Command.PARENT, goto=target, update={"messages": [message]})

    talk.calls = calls("a")
    hands = Hands(talk, goto)
    world: World = talk.world
    outer = team_graph(talk, hands, form(talk, [hands.tool], saver=None))
    outcome = talk.run(outer, GO)
    assert hands.ran == [0]
    assert outcome["messages"][-1].content == "at the desk"
    # LangGraph leaves the update out of a hand-over by Send.
    assert answers(outcome) == ([] if sends else [("a", "hand 0")])
    assert len(world.store.batches) == 1


def test_commands_keep_their_place_beside_messages(talk: Any) -> None:
    talk.calls = calls("a", "b")
    hands = Hands(
        talk, lambda i, message: message if i else Command(update={"messages": [message]}), broken=False
    )
    outcome = talk.run(graph_of(talk, [hands.tool], policies={"work": ToolPolicy()}), GO)
    assert answers(outcome) == [("a", "hand 0"), ("b", "hand 1")]
