"""What the caller gives to a run is left alone, and may be given again."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.agent.workflow.workflow_events import AgentWorkflowStartEvent
from llama_index.core.base.llms.types import ChatMessage, DocumentBlock
from llama_index.core.workflow import Context
from pydantic import BaseModel

from toolslot import ResultNotStorable
from toolslot_llamaindex._given import copied


class NoSecond(Exception):
    """The provider fails at its second question."""


def script(talk: Any) -> None:
    left = [1]

    def before(number: int) -> None:
        if number == 1 and left:
            left.clear()
            raise NoSecond

    talk.script([("count", {}), ("count", {})], "done", before=before)


async def count(ctx: Context) -> str:
    """Counts in the state."""
    async with ctx.store.edit_state() as state:
        held = state["state"]
        held["n"] += 1
        held["seen"].append(held["n"])
    return "counted"


count.__annotations__["ctx"] = Context  # the framework wants the class itself


def agent_of(talk: Any, state: dict[str, Any], kind: str) -> Any:
    plain = FunctionAgent(name="a", description="d", tools=[count], llm=talk.llm, initial_state=state)
    if kind == "workflow":
        single = FunctionAgent(name="a", description="d", tools=[count], llm=talk.llm)
        return talk.wrap(AgentWorkflow(agents=[single], initial_state=state), max_parallel=1)
    return talk.wrap(plain, max_parallel=1)


@pytest.mark.parametrize("kind", ["agent", "workflow"])
@pytest.mark.parametrize("given", ["message", "history", "start event"])
@pytest.mark.parametrize("run_id", ["r-1", None])
def test_the_same_objects_given_again_after_a_failure_go_on_where_the_run_was(
    talk: Any, kind: str, given: str, run_id: str | None
) -> None:
    script(talk)
    state: dict[str, Any] = {"n": 0, "seen": []}
    message = ChatMessage(role="user", content="go", additional_kwargs={"a": [1]})
    history = [ChatMessage(role="user", content="before"), message]
    asked: dict[str, Any] = {
        "message": {"user_msg": message},
        "history": {"user_msg": None, "chat_history": history},
        "start event": {
            "user_msg": None,
            "start_event": AgentWorkflowStartEvent(
                user_msg=message, chat_history=None, memory=None, max_iterations=None
            ),
        },
    }[given]
    before = [each.model_copy(deep=True) for each in history]
    agent = agent_of(talk, state, kind)
    with pytest.raises(NoSecond):
        talk.run(agent, run_id=run_id, **asked)
    assert (history, state) == (before, {"n": 0, "seen": []})
    first = talk.llm.heard[-1]
    assert str(talk.run(agent_of(talk, state, kind), run_id=run_id, **asked)) == "done"
    assert (history, state) == (before, {"n": 0, "seen": []})
    assert [each.content for each in talk.llm.heard[-1]][-2:] == ["counted"] * 2
    if run_id is not None:
        assert [each.content for each in talk.llm.heard[-1]] == [each.content for each in first]
        assert talk.llm.asked == 3


class Plan(BaseModel):
    n: int = 1


def test_an_initial_state_of_a_class_that_is_not_allowed_any_more_stops_the_resume_and_names_the_run(
    talk: Any,
) -> None:
    script(talk)
    state = {"n": 0, "seen": [], "plan": Plan()}
    with pytest.raises(NoSecond):
        talk.run(talk.wrap(talk.plain([count], initial_state=state), allowed_types=[Plan]))
    with pytest.raises(ResultNotStorable, match=r"state at the beginning of run 'r-1'.*allowed_types="):
        talk.run(talk.wrap(talk.plain([count], initial_state=state)))
    assert str(talk.run(talk.wrap(talk.plain([count], initial_state=state), allowed_types=[Plan]))) == "done"


def test_of_a_message_with_a_part_that_cannot_be_copied_all_else_is_copied(tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_text("text")
    with (tmp_path / "a.txt").open("rb") as opened:
        block = DocumentBlock(data=opened, document_mimetype="text/plain")
        message = ChatMessage(role="user", blocks=[block], additional_kwargs={"a": 1})
        new = copied(message)
    assert new.blocks[0] is not block
    assert new.blocks[0].data is opened
    assert new.additional_kwargs is not message.additional_kwargs
    assert copied({"a": [1, opened]})["a"] == [1, opened]
