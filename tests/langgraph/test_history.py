"""Whether a thread went on from the answers of a batch, told from its checkpoints; and what that means for agents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from support.sending import FORMS, GO, Work, answers, calls
from toolslot.journal import MemoryJournal
from toolslot_langgraph import DurableParallelToolNode
from toolslot_langgraph._compat import named_checkpoint
from toolslot_langgraph._history import Saved, went_on
from toolslot_langgraph._step import edited

pytestmark = pytest.mark.pairwise

CALL = {"name": "poll", "args": {"job": "j"}, "id": "c", "type": "tool_call"}


def line(text: str) -> list[Saved]:
    """Checkpoints as `id<parent source`, the oldest first; given to the test the newest first, as savers list them."""
    found: list[Saved] = []
    for item in filter(None, text.split(", ")):
        ids, _, source = item.partition(" ")
        name, _, parent = ids.partition("<")
        found.append(Saved(id=name, parent=parent or None, source=source or "loop"))
    return found[::-1]


#: the batch ran at c3; now its response is run at `now`, which c9 stands for
HISTORIES: dict[str, tuple[str, bool, bool]] = {
    # history, whether a checkpoint was named, whether the thread went on
    "the step was saved, and it is gone back to": ("c1 input, c3<c1, c4<c3, c9<c3 fork", True, True),
    "the same, the fork not saved yet": ("c1 input, c3<c1, c4<c3", True, True),
    "the step was not saved": ("c1 input, c3<c1, c9<c3 fork", True, False),
    "nor when it was tried before": ("c1 input, c3<c1, c5<c3 fork, c9<c3 fork", True, False),
    "it was saved when it was tried again": ("c1 input, c3<c1, c5<c3 fork, c6<c5, c9<c3 fork", True, True),
    "the state was edited after it was saved": ("c1 input, c3<c1, c4<c3, c9<c3 update", False, True),
    "the state was edited before it was saved": ("c1 input, c3<c1, c9<c3 update", False, False),
    "a person spoke instead": ("c1 input, c3<c1, c4<c3 input, c5<c4, c9<c3 fork", True, False),
    "not even its own checkpoint was saved": ("c1 input, c2<c1", False, False),
    "the same, the new one is saved": ("c1 input, c2<c1, c9<c2", False, False),
    "the same, with another step made anew": ("c1 input, c2<c1, c5<c2, c9<c5", False, False),
    "that is gone back to later": ("c1 input, c2<c1, c5<c2, c6<c5, c9<c5 fork", True, True),
    "its checkpoint was pruned": ("c1 input, c4<c3, c9<c4 update", False, True),
    "only the newest is kept": ("c8<c7 update", False, True),
    "the thread was deleted and begun again": ("c5 input, c6<c5, c9<c6", False, True),
    "nothing is kept": ("c9 input", False, True),
    "the state is edited where its checkpoint is gone": ("c1 input, c2<c1, c5<c2, c9<c5 update", False, True),
    "the same, in a thread that saves at its end only": ("c1 input, c9<c1 update", False, True),
}

#: the same for one entrance into a sub-graph
ENTRANCES: dict[str, tuple[str, bool, bool]] = {
    "it was not saved at all": ("", False, False),
    "nor its batch": ("c1 input, c2<c1", False, False),
    "it began anew": ("c5 input, c9<c5", False, False),
    "it was gone back to": ("c5 input, c9<c5", True, True),
    "only the newest is kept": ("c8<c7", False, True),
}


@pytest.mark.parametrize(("history", "named", "expected"), HISTORIES.values(), ids=HISTORIES.keys())
def test_whether_a_thread_went_on_from_a_batch(history: str, named: bool, expected: bool) -> None:
    assert went_on(line(history), "c3", now="c9", named=named) is expected


@pytest.mark.parametrize(("history", "named", "expected"), ENTRANCES.values(), ids=ENTRANCES.keys())
def test_whether_a_sub_graph_went_on_from_a_batch(history: str, named: bool, expected: bool) -> None:
    assert went_on(line(history), "c3", now="c9", named=named, alone=True) is expected


class Forgetful(InMemorySaver):
    """A saver that takes its time, and cannot be reached for checkpoints whose last message is of this kind."""

    refuses: type[Any] | None = None
    seconds = 0.0

    def put(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(self.seconds)
        return self._put(*args, **kwargs)

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self.seconds)
        return self._put(*args, **kwargs)

    def _put(self, config: Any, checkpoint: Any, *args: Any, **kwargs: Any) -> Any:
        messages: Sequence[Any] = checkpoint["channel_values"].get("messages") or [None]
        if self.refuses is not None and isinstance(messages[-1], self.refuses):
            raise ConnectionError("the saver is away")
        return super().put(config, checkpoint, *args, **kwargs)


@pytest.fixture(params=sorted(FORMS))
def door(request: pytest.FixtureRequest) -> Any:
    return FORMS[request.param]


def unsaved(talk: Any, door: Any, **settings: Any) -> tuple[Work, Any]:
    """An agent whose three calls are done and handed over, and whose thread knows nothing of that."""
    work = Work(talk)
    talk.calls = calls("a", "b", "c")
    talk.saver = Forgetful()
    agent = door(talk, [work.tool], **settings)
    talk.saver.refuses = ToolMessage
    with pytest.raises(ConnectionError, match="the saver is away"):
        talk.run(agent, GO)
    talk.saver.refuses = None
    assert sorted(work.ran) == [0, 1, 2]
    work.ran.clear()
    return work, agent


@pytest.mark.parametrize(
    ("on_fork", "again"), [("adopt_unfinished", []), ("rerun", [0, 1, 2]), ("replay", [])]
)
def test_a_resume_by_name_of_a_step_that_was_not_saved_repeats_nothing(
    talk: Any, door: Any, on_fork: str, again: list[int]
) -> None:
    work, agent = unsaved(talk, door, on_fork=on_fork)
    assert len(answers(talk.run(agent, None, **agent.get_state(talk.config).config))) == 3
    assert sorted(work.ran) == again


@pytest.mark.parametrize("name", ["make_durable", "middleware", "one_node"])
def test_an_edit_of_the_state_after_a_step_that_was_not_saved_repeats_nothing(talk: Any, name: str) -> None:
    work, agent = unsaved(talk, FORMS[name])
    agent.update_state(talk.config, {"messages": []}, as_node="model")
    assert len(answers(talk.run(agent, None))) == 3
    assert work.ran == []


def test_once_it_is_saved_the_same_is_time_travel(talk: Any, door: Any) -> None:
    work, agent = unsaved(talk, door)
    config = agent.get_state(talk.config).config
    talk.run(agent, None, **config)
    assert work.ran == []
    talk.run(agent, None, **config)
    assert sorted(work.ran) == [0, 1, 2]


def test_a_saver_that_cannot_list_its_checkpoints_is_believed_to_have_kept_them(
    talk: Any, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, agent = unsaved(talk, door)
    config = agent.get_state(talk.config).config

    def unable(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(talk.saver, "list", unable)
    monkeypatch.setattr(talk.saver, "alist", unable)
    talk.run(agent, None, **config)
    assert sorted(work.ran) == [0, 1, 2]


@pytest.mark.parametrize("name", ["make_durable", "middleware", "one_node"])
def test_a_resume_by_name_after_a_person_spoke_repeats_nothing(talk: Any, name: str) -> None:
    """The answers were dropped: the thread never had them."""
    work, agent = unsaved(talk, FORMS[name])
    config = agent.get_state(talk.config).config
    talk.run(agent, {"messages": [HumanMessage("never mind", id="h-2")]})
    work.ran.clear()
    assert len(answers(talk.run(agent, None, **config))) == 3
    assert work.ran == []


def invoked(talk: Any, graph: Any, value: Any, durability: str) -> Any:
    if talk.asynchronous:
        return asyncio.run(graph.ainvoke(value, talk.config, durability=durability))
    return graph.invoke(value, talk.config, durability=durability)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("seconds", [0.0, 0.03], ids=["quick saver", "slow saver"])
def test_a_graph_that_comes_back_to_a_response_runs_its_calls_again(
    talk: Any, durability: str, seconds: float
) -> None:
    """It polls. Its thread has the answers, whether they are saved by then or not."""
    polled: list[int] = []

    @tool
    def poll(job: str) -> str:
        """Looks whether it is done."""
        polled.append(len(polled))
        return "done" if len(polled) == 3 else f"not yet ({len(polled)})"

    def model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("", id="ai-1", tool_calls=[CALL])]}

    def check(state: MessagesState) -> dict[str, Any]:
        return {}

    def following(state: MessagesState) -> str:
        return END if state["messages"][-1].content == "done" or len(polled) > 5 else "tools"

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("tools", talk.node([poll]))
    graph.add_node("check", check)
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    graph.add_edge("tools", "check")
    graph.add_conditional_edges("check", following, ["tools", END])
    saver = Forgetful()
    saver.seconds = seconds
    agent = graph.compile(checkpointer=saver)
    agent.update_state(talk.config, {"messages": [HumanMessage("before")]}, as_node="check")
    outcome = invoked(talk, agent, {"messages": [HumanMessage("go")]}, durability)
    said = [message.content for message in outcome["messages"] if isinstance(message, ToolMessage)]
    assert said == ["not yet (1)", "not yet (2)", "done"]


def test_a_deliberate_edit_runs_the_calls_again_where_only_the_end_of_a_run_was_saved(talk: Any) -> None:
    work = Work(talk)
    talk.calls = calls("a", "b")
    agent = talk.graph([work.tool])
    for number in range(2):
        invoked(talk, agent, {"messages": [HumanMessage("go", id=f"h-{number}")]}, "exit")
    work.ran.clear()
    messages = agent.get_state(talk.config).values["messages"]
    removed = [RemoveMessage(message.id) for message in messages[-2:]]
    agent.update_state(talk.config, {"messages": removed}, as_node="model")
    talk.resume(agent)
    assert sorted(work.ran) == [0, 1]


def test_a_sub_graph_of_which_nothing_is_left_repeats_nothing(talk: Any) -> None:
    """The outer graph made the response, and has it. What the sub-graph had saved is lost."""
    work = Work(talk)
    talk.calls = calls("a", "b")
    inside = StateGraph(MessagesState)
    inside.add_node("tools", talk.node([work.tool]))
    inside.add_edge(START, "tools")

    def model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("", id="ai-1", tool_calls=talk.calls)]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("act", inside.compile())
    graph.add_edge(START, "model")
    graph.add_edge("model", "act")
    saver = Forgetful()
    agent = graph.compile(checkpointer=saver)
    saver.refuses = ToolMessage
    with pytest.raises(ConnectionError):
        invoked(talk, agent, GO, "async")
    saver.refuses = None
    assert sorted(work.ran) == [0, 1]
    (inner,) = [name for name in saver.storage["t-1"] if name]
    del saver.storage["t-1"][inner]
    talk.resume(agent)
    assert sorted(work.ran) == [0, 1]


def test_agents_inside_a_tool_are_not_named_by_the_name_that_the_run_outside_was_given() -> None:
    config: Any = {"metadata": {"thread_id": "outer", "checkpoint_id": "c-1"}}
    assert named_checkpoint(config, "outer")
    assert not named_checkpoint(config, "inner")
    assert not named_checkpoint({"metadata": {"thread_id": "outer", "checkpoint_id": ""}}, "outer")
    assert not named_checkpoint({}, "outer")


def test_a_node_that_runs_one_response_twice_on_purpose_runs_it_twice_with_a_saver_too() -> None:
    ran: list[str] = []

    @tool
    def poll(to: str) -> str:
        """Asks once more."""
        ran.append(to)
        return f"poll {len(ran)}"

    calls: Any = [{"name": "poll", "args": {"to": name}, "id": name, "type": "tool_call"} for name in "ab"]
    node = DurableParallelToolNode([poll], journal=MemoryJournal())

    def twice(state: MessagesState, config: RunnableConfig) -> Any:
        asked = AIMessage("", id="ai", tool_calls=calls)
        found = [
            message for _ in range(2) for message in node.invoke({"messages": [asked]}, config)["messages"]
        ]
        return {"messages": [message.model_copy(update={"id": None}) for message in found]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [AIMessage("", id="ai", tool_calls=calls)]})
    builder.add_node("tools", twice)
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    graph: Any = builder.compile(checkpointer=InMemorySaver())
    graph.invoke({"messages": []}, {"configurable": {"thread_id": "1"}})
    assert len(ran) == 4


def test_where_langgraph_does_not_tell_that_a_person_edited_the_state_none_is_taken_to_have() -> None:
    assert not edited({"configurable": {}})
