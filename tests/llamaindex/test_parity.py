"""The plain agent and the durable one, asked the same: results, events, memory, state and errors are equal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context
from llama_index.core.workflow.events import HumanResponseEvent, InputRequiredEvent
from pydantic import BaseModel
from workflows.events import WorkflowFailedEvent

from support.harness import World
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

# LlamaIndex's own closing answer asks its context in a way that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:is_running called from within a step")

#: makes a new agent, and what it is run with
Scene: TypeAlias = Callable[[], "tuple[Any, dict[str, Any]]"]


async def double(i: int) -> str:
    """Doubles."""
    return str(2 * i)


def sync_double(i: int) -> int:
    """Doubles in a thread."""
    return 2 * i


async def fails(i: int) -> str:
    """Fails."""
    raise ValueError(f"no {i}")


async def remember(ctx: Context, word: str) -> str:
    """Writes into the state."""
    async with ctx.store.edit_state() as state:
        state["words"] = [*state.get("words", []), word]
    return f"remembered {word}"


async def confirm(ctx: Context) -> str:
    """Asks a person."""
    said = await ctx.wait_for_event(HumanResponseEvent, waiter_event=InputRequiredEvent())
    return str(said.response)


for _tool in (remember, confirm):
    _tool.__annotations__["ctx"] = Context  # as text, LlamaIndex does not know it

CALLS = [("double", {"i": 1}), ("sync_double", {"i": 2}), ("fails", {"i": 3}), ("missing", {})]
TOOLS: list[Any] = [double, sync_double, fails, remember, confirm]


def agent(*script: Any, **settings: Any) -> FunctionAgent:
    return FunctionAgent(tools=TOOLS, llm=ScriptedLLM(script), **settings)


def one_by_one() -> Any:
    return agent(*([call] for call in CALLS), "done"), {}


def at_once() -> Any:
    return agent(CALLS, "done"), {}


def with_state() -> Any:
    script = [[("remember", {"word": "tea"})], [("remember", {"word": "milk"})], "done"]
    return agent(*script, initial_state={"words": []}, system_prompt="Remember."), {}


def with_a_question() -> Any:
    return agent([("confirm", {}), ("double", {"i": 4})], "done"), {}


def with_history() -> Any:
    history = [ChatMessage(role="user", content="hello"), ChatMessage(role="assistant", content="hi")]
    return agent("never", CALLS[:1], "done"), {"chat_history": history}


def with_a_memory() -> Any:
    return agent(CALLS[:1], "done"), {"memory": ChatMemoryBuffer.from_defaults(token_limit=40_000)}


def with_an_old_memory() -> Any:
    before = [ChatMessage(role="user", content="hello"), ChatMessage(role="assistant", content="hi")]
    return agent("never", CALLS[:2], "done"), {"memory": ChatMemoryBuffer.from_defaults(chat_history=before)}


def that_answers_directly() -> Any:
    tool = FunctionTool.from_defaults(async_fn=double, return_direct=True)
    return FunctionAgent(tools=[tool], llm=ScriptedLLM([CALLS[:1], "never"])), {}


def that_is_stopped() -> Any:
    return agent(CALLS[:1], CALLS[:1], "never"), {"max_iterations": 2}


def that_closes_early() -> Any:
    return agent(CALLS[:1], CALLS[:1]), {
        "max_iterations": 2,
        "early_stopping_method": "generate",
    }


def with_structured_output() -> Any:
    def parse(messages: list[ChatMessage]) -> dict[str, Any]:
        return {"last": messages[-1].content, "count": len(messages)}

    return agent(CALLS[:1], "done", structured_output_fn=parse), {}


def that_hands_over() -> Any:
    first = agent(
        [("handoff", {"to_agent": "second", "reason": "why"})], "never", name="first", description="1"
    )
    second = agent("never", CALLS[:2], "done", name="second", description="2")
    return AgentWorkflow(agents=[first, second], root_agent="first"), {}


def that_reasons() -> Any:
    act = 'Thought: I need it.\nAction: double\nAction Input: {"i": 5}'
    script = [act, "Thought: I can answer.\nAnswer: 10"]
    return ReActAgent(tools=[double], llm=ScriptedLLM(script), streaming=True), {}


SCENES: list[Scene] = [
    at_once,
    one_by_one,
    that_answers_directly,
    that_closes_early,
    that_hands_over,
    that_is_stopped,
    that_reasons,
    with_a_memory,
    with_a_question,
    with_an_old_memory,
    with_history,
    with_state,
    with_structured_output,
]


async def seen(agent: Any, **settings: Any) -> dict[str, Any]:
    """All that the caller can see of a run."""
    handler = agent.run(user_msg="go", **settings)
    events: list[Any] = []
    async for event in handler.stream_events():
        events.append(event)
        if isinstance(event, InputRequiredEvent):
            handler.ctx.send_event(HumanResponseEvent(response="yes"))
    found: dict[str, Any] = {"events": [[type(event).__name__, shown(event)] for event in events]}
    try:
        found["result"] = shown(await handler)
    except Exception as error:
        return {**found, "error": (type(error), str(error))}
    store = handler.ctx.store
    memory = await store.get("memory")
    found["memory"] = [shown(message) for message in await memory.aget_all()]
    for key in ("state", "num_iterations", "current_agent_name", "current_tool_calls", "words"):
        found[key] = shown(await store.get(key, default=None))
    return found


def shown(thing: Any) -> Any:
    """Without what is another every time."""
    if isinstance(thing, BaseModel):
        fields = {name: shown(getattr(thing, name)) for name in type(thing).model_fields}
        if isinstance(thing, WorkflowFailedEvent):
            fields.pop("elapsed_seconds", None)
        if len(str(fields.get("tool_id"))) == 36:
            fields.pop("tool_id")  # made up anew by agents that reason
        return {**fields, **{key: shown(value) for key, value in getattr(thing, "_data", {}).items()}}
    if isinstance(thing, list):
        return [shown(item) for item in thing]
    if isinstance(thing, dict):
        return {key: shown(value) for key, value in thing.items()}
    return f"{type(thing).__name__}: {thing}" if isinstance(thing, Exception) else thing


def without_order(thing: Any) -> Any:
    """Calls that run at once may be told of in any order; the durable agent has theirs in the model's."""
    if isinstance(thing, list):
        return sorted((without_order(item) for item in thing), key=repr)
    if isinstance(thing, dict):
        return {key: without_order(item) for key, item in thing.items()}
    return thing


def heard(agent: Any) -> list[Any]:
    """What the models were asked."""
    agents = list(getattr(agent, "agents", {"": agent}).values())
    return [[shown(m) for m in messages] for each in agents for messages in each.llm.heard]


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("run_id", [None, "r-1"], ids=["no id", "run id"])
def test_a_durable_agent_does_what_the_plain_one_does(scene: Scene, run_id: str | None) -> None:
    world = World()

    async def main(make: Callable[[Any], Any], **more: Any) -> tuple[dict[str, Any], list[Any]]:
        plain, settings = scene()
        agent = make(plain)
        return await seen(agent, **settings, **more), heard(agent)

    plain, plain_heard = asyncio.run(main(lambda agent: agent))
    settings = {"run_id": run_id} if run_id is not None else {}
    wrapped, wrapped_heard = asyncio.run(
        main(lambda agent: durable(agent, journal=world.executor().journal, hooks=[]), **settings)
    )
    assert without_order(wrapped) == without_order(plain)
    assert without_order(wrapped_heard) == without_order(plain_heard)


@pytest.mark.parametrize("scene", SCENES)
def test_run_again_a_durable_agent_gives_what_it_gave(scene: Scene) -> None:
    world = World()

    async def main() -> tuple[dict[str, Any], list[Any]]:
        plain, settings = scene()
        agent = durable(plain, journal=world.executor().journal, hooks=[])
        found = await seen(agent, run_id="r-1", **settings)
        found.pop("events")
        return found, heard(agent)

    first, _ = asyncio.run(main())
    again, asked = asyncio.run(main())
    assert recorded(again) == recorded(first)
    # The closing answer is not recorded: it comes after the last tool call.
    assert len(asked) == (1 if scene is that_closes_early else 0)


def recorded(found: dict[str, Any]) -> Any:
    """Without what is not recorded: the model's own raw answer, and exceptions, of which a stand-in comes back."""

    def walk(thing: Any) -> Any:
        if isinstance(thing, dict):
            return {
                key: walk(value)
                for key, value in thing.items()
                if key not in ("raw", "exception", "raw_input")
            }
        return [walk(item) for item in thing] if isinstance(thing, list) else thing

    return walk(shown(found))


def test_the_scenes_are_what_they_say() -> None:
    async def main(scene: Scene) -> dict[str, Any]:
        agent, settings = scene()
        return await seen(agent, **settings)

    assert "Max iterations" in asyncio.run(main(that_is_stopped))["error"][1]
    assert "error" not in asyncio.run(main(that_closes_early))
    assert asyncio.run(main(with_structured_output))["result"]["structured_response"]["last"] == "done"
    assert asyncio.run(main(that_hands_over))["current_agent_name"] == "second"
    assert asyncio.run(main(with_state))["words"] == ["tea", "milk"]
    assert AgentOutput.__name__ in [name for name, _ in asyncio.run(main(that_reasons))["events"]]
