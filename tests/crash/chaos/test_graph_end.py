"""When a thread of LangGraph is at its end, as a process sees it that comes after a death."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from crash.chaos.chaos_graph import is_done

CONFIG: Any = {"configurable": {"thread_id": "t"}}


class Dying(InMemorySaver):
    """Dies before it saves the checkpoint of step 1, when the results of that step are saved."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, *args: Any) -> Any:
        if metadata["step"] == 1 and self.dies:
            raise ConnectionError("the process died")
        return super().put(config, checkpoint, metadata, *args)

    dies = True


def test_a_thread_whose_results_are_saved_and_no_checkpoint_after_them_is_not_at_its_end() -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda _: {"messages": [AIMessage("paid")]})
    graph.add_node("after", lambda _: {})
    graph.add_edge(START, "model")
    graph.add_edge("model", "after")
    saver = Dying()
    agent: Any = graph.compile(checkpointer=saver)
    assert not is_done(agent.get_state(CONFIG)), "nothing has begun"
    with pytest.raises(ConnectionError):
        agent.invoke({"messages": [HumanMessage("pay")]}, CONFIG, durability="sync")
    saver.dies = False
    state = agent.get_state(CONFIG)
    assert state.next == (), "this is what makes it look so"
    assert not is_done(state)
    agent.invoke(None, CONFIG, durability="sync")
    assert is_done(agent.get_state(CONFIG))
