"""In every respect but durability the node is a ToolNode: the same tools through both, compared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, ToolException, tool
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.prebuilt.tool_node import ToolCallWithContext
from langgraph.runtime import ExecutionInfo, Runtime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send
from pydantic import BaseModel

from toolslot import MemoryJournal
from toolslot_langgraph import DurableParallelToolNode

ran: list[str] = []


@tool
def add(a: int, b: int) -> int:
    """Adds."""
    ran.append("add")
    return a + b


@tool
async def aadd(a: int, b: int) -> int:
    """Adds."""
    ran.append("aadd")
    return a + b


@tool
def blocks() -> list[dict[str, Any]]:
    """Returns content blocks."""
    return [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]


@tool
def record() -> dict[str, Any]:
    """Returns a mapping."""
    return {"ü": [1, 2.5, None]}


@tool(response_format="content_and_artifact")
def picture() -> tuple[str, Any]:
    """Returns content and an artifact."""
    return "seen", {"pixels": [1, 2, 3], "raw": b"\x00\xff", "tags": {"a"}}


@tool
def message(tool_call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
    """Returns a message of its own."""
    return ToolMessage("mine", tool_call_id=tool_call_id, name="message", additional_kwargs={"k": 1})


@tool
def hand_over(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Updates the state."""
    return Command(
        update={"messages": [ToolMessage("moved", tool_call_id=tool_call_id)], "seen": [1]}, goto="other"
    )


@tool
def update_list(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Updates a state that is a list."""
    return Command(update=[ToolMessage("moved", tool_call_id=tool_call_id)])


@tool
def to_parent(who: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Sends work to the parent graph."""
    return Command(graph=Command.PARENT, goto=[Send("worker", {"who": who})])


@tool
def several(tool_call_id: Annotated[str, InjectedToolCallId]) -> list[Any]:
    """Returns a command and a message."""
    return [Command(update={"seen": [2]}), ToolMessage("both", tool_call_id=tool_call_id)]


@tool
def no_terminator() -> Command[Any]:
    """Forgets the message."""
    return Command(update={"messages": []})


@tool
def reads_state(state: Annotated[Any, InjectedState]) -> str:
    """Reads the state."""
    return type(state).__name__ if not isinstance(state, dict) else ",".join(sorted(state))


@tool
def reads_field(seen: Annotated[Any, InjectedState("seen")]) -> str:
    """Reads one field of the state."""
    return repr(seen)


@tool
def reads_store(store: Annotated[Any, InjectedStore()]) -> str:
    """Reads the store."""
    return str(store.get(("n",), "k").value["v"])


@tool
def reads_runtime(runtime: ToolRuntime) -> str:
    """Reads the runtime."""
    host = runtime.config.get("max_concurrency")
    return (
        f"{runtime.tool_call_id} {runtime.context} {len(runtime.tools)} {host} {'messages' in runtime.state}"
    )


@tool
def fails(kind: str) -> str:
    """Raises."""
    raise {"value": ValueError("bad value"), "key": KeyError("bad key"), "tool": ToolException("bad tool")}[
        kind
    ]


def call(name: str, number: int = 0, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": f"c{number}", "type": "tool_call"}


class Model(BaseModel):
    """A state that is a pydantic model."""

    messages: list[Any]
    seen: list[int] = []


@dataclass
class Data:
    """A state that is a dataclass."""

    messages: list[Any]
    seen: list[int] = field(default_factory=list)


def as_dict(calls: list[Any]) -> Any:
    return {
        "messages": [HumanMessage("hi"), AIMessage("", tool_calls=calls, id="ai-1"), HumanMessage("late")],
        "seen": [7],
    }


def as_messages(calls: list[Any]) -> Any:
    return [AIMessage("", tool_calls=calls, id="ai-1")]


def as_model(calls: list[Any]) -> Any:
    return Model(messages=as_messages(calls), seen=[7])


def as_dataclass(calls: list[Any]) -> Any:
    return Data(messages=as_messages(calls), seen=[7])


def as_calls(calls: list[Any]) -> Any:
    return calls


def as_call_with_context(calls: list[Any]) -> Any:
    return ToolCallWithContext(
        __type="tool_call_with_context", tool_call=calls[0], state={"messages": [], "seen": [7]}
    )


def in_other_key(calls: list[Any]) -> Any:
    return {"chat": as_messages(calls)}


FORMS = [as_dict, as_messages, as_model, as_dataclass, as_calls, as_call_with_context]


def typed(error: ValueError) -> str:
    return f"handled {error}"


def untyped(error: Any) -> str:
    return "handled anything"


HANDLERS: list[Any] = [True, False, "a text", ValueError, (ValueError, KeyError), typed, untyped, "default"]


def through(request: Any, execute: Callable[[Any], Any]) -> Any:
    return execute(request)


def changing(request: Any, execute: Callable[[Any], Any]) -> Any:
    changed = {**request.tool_call, "args": {"a": 40, "b": 2}}
    result = execute(request.override(tool_call=changed))
    result.content += "!"
    return result


def raising(request: Any, execute: Callable[[Any], Any]) -> Any:
    raise KeyError("from the wrapper")


def short_circuit(request: Any, execute: Callable[[Any], Any]) -> Any:
    return ToolMessage("cached", tool_call_id=request.tool_call["id"], name=request.tool_call["name"])


def dynamic(request: Any, execute: Callable[[Any], Any]) -> Any:
    return execute(request.override(tool=add) if request.tool is None else request)


async def athrough(request: Any, execute: Callable[[Any], Any]) -> Any:
    return await execute(request)


async def araising(request: Any, execute: Callable[[Any], Any]) -> Any:
    raise KeyError("from the wrapper")


WRAPPERS: list[dict[str, Any]] = [
    {"wrap_tool_call": through},
    {"wrap_tool_call": changing},
    {"wrap_tool_call": raising},
    {"wrap_tool_call": raising, "handle_tool_errors": True},
    {"wrap_tool_call": short_circuit},
    {"awrap_tool_call": athrough},
    {"awrap_tool_call": araising, "handle_tool_errors": (ValueError,)},
    {"wrap_tool_call": through, "awrap_tool_call": araising},
]

TOOLS = [
    add, aadd, blocks, record, picture, message, hand_over, update_list, to_parent, several, no_terminator, reads_state, reads_field,
    reads_store, reads_runtime, fails,
]  # fmt: skip


@dataclass
class Case:
    calls: list[Any]
    form: Callable[[list[Any]], Any] = as_dict
    node: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    modes: tuple[str, ...] = ("sync", "async")


def cases() -> dict[str, Case]:
    one = [call("add", a=1, b=2)]
    found = {f"form {form.__name__}": Case(one, form) for form in FORMS}
    found["messages key"] = Case(one, in_other_key, {"messages_key": "chat"})
    found["no calls"] = Case([])
    found["an async tool"] = Case([call("aadd", a=1, b=2)], modes=("async",))
    for form in (as_dict, as_messages, as_calls):
        many = [call("add", i, a=i, b=1) for i in range(5)]
        found[f"five {form.__name__}"] = Case(many, form)
    for name in (
        "blocks",
        "record",
        "picture",
        "message",
        "hand_over",
        "several",
        "no_terminator",
        "reads_store",
    ):
        found[f"returns {name}"] = Case([call(name), call("add", 1, a=1, b=2)])
    found["a command for a list"] = Case([call("update_list")], as_messages)
    found["a command of the wrong form"] = Case([call("update_list")])
    found["two commands to the parent"] = Case(
        [call("to_parent", 0, who="x"), call("to_parent", 1, who="y"), call("add", 2, a=1, b=1)]
    )
    for form in FORMS:
        found[f"state {form.__name__}"] = Case([call("reads_state")], form)
        found[f"field {form.__name__}"] = Case([call("reads_field")], form)
    found["runtime"] = Case([call("reads_runtime")])
    found["runtime with a limit"] = Case(
        [call("reads_runtime"), call("reads_runtime", 1)], config={"max_concurrency": 3}
    )
    found["unknown tool"] = Case([call("nowhere"), call("add", 1, a=1, b=1)])
    found["bad arguments"] = Case([call("add", a="x"), call("add", 1, a=1, b=1)])
    found["the same id twice"] = Case([call("add", 0, a=1, b=1), call("add", 0, a=2, b=2)])
    same = call("add", 0, a=1, b=1)
    found["the same object twice"] = Case([same, same], as_calls)
    found["an empty id"] = Case([{**call("add", a=1, b=1), "id": ""}])
    for handler in HANDLERS:
        setting = {} if handler == "default" else {"handle_tool_errors": handler}
        name = getattr(handler, "__name__", str(handler))
        for kind in ("value", "key", "tool"):
            found[f"handler {name} {kind}"] = Case(
                [call("fails", kind=kind), call("add", 1, a=1, b=1)], node=setting
            )
        found[f"handler {name} bad arguments"] = Case([call("add", a="x")], node=setting)
    for setting in WRAPPERS:
        name = " ".join(f"{key}={getattr(value, '__name__', value)}" for key, value in setting.items())
        found[f"wrapper {name}"] = Case([call("add", a=1, b=2), call("fails", 1, kind="key")], node=setting)
        found[f"wrapper {name}, good"] = Case([call("add", a=1, b=2), call("add", 1, a=3, b=4)], node=setting)
    found["a tool of the wrapper"] = Case([call("dyn", a=1, b=2)], node={"wrap_tool_call": dynamic})
    return found


CASES = cases()


def seen(value: Any) -> Any:
    """Something to compare, without the mark of a replay and without identities."""
    if isinstance(value, ToolMessage):
        marks = {key: item for key, item in value.response_metadata.items() if key != "toolslot"}
        return ("message", {**value.model_dump(), "response_metadata": marks})
    if isinstance(value, Command):
        parent = value.graph is Command.PARENT
        return (
            "command",
            parent,
            [
                (item.name, type(getattr(value, item.name)).__name__, seen(getattr(value, item.name)))
                for item in fields(value)
            ],
        )
    if isinstance(value, list | tuple):
        return [seen(item) for item in value]
    if isinstance(value, dict):
        return {key: seen(item) for key, item in value.items()}
    return value


def outcome(node: ToolNode, case: Case, mode: str, **configurable: Any) -> Any:
    store = InMemoryStore()
    store.put(("n",), "k", {"v": 42})
    info = ExecutionInfo(checkpoint_id="c-1", checkpoint_ns="tools:t-1", task_id="t-1", thread_id="thread")
    runtime = Runtime(store=store, context="ctx", execution_info=info)
    config: Any = {**case.config, "configurable": {"__pregel_runtime": runtime, **configurable}}
    try:
        if mode == "async":
            return seen(asyncio.run(node.ainvoke(case.form(case.calls), config)))
        return seen(node.invoke(case.form(case.calls), config))
    except Exception as error:
        return type(error), str(error)


def durable(case: Case) -> DurableParallelToolNode:
    return DurableParallelToolNode(TOOLS, journal=MemoryJournal(), **case.node)


all_cases = pytest.mark.parametrize(
    ("name", "mode"), [(name, mode) for name, case in CASES.items() for mode in case.modes]
)


@all_cases
def test_the_node_returns_and_raises_what_a_tool_node_does(name: str, mode: str) -> None:
    case = CASES[name]
    plain = outcome(ToolNode(TOOLS, **case.node), case, mode)
    assert outcome(durable(case), case, mode) == plain
    assert outcome(durable(case), case, mode, durable_run_key="r") == plain


@all_cases
def test_a_replay_returns_what_the_first_run_did(name: str, mode: str) -> None:
    case = CASES[name]
    node = durable(case)
    first = outcome(node, case, mode, __pregel_checkpointer=True)
    ran.clear()
    assert outcome(node, case, mode, __pregel_checkpointer=True) == first
    assert not ran


def test_it_is_a_tool_node_named_tools() -> None:
    node = DurableParallelToolNode([add])
    assert isinstance(node, ToolNode)
    assert node.name == "tools"
    assert list(node.tools_by_name) == ["add"]
    assert DurableParallelToolNode([add], name="x", tags=["t"]).tags == ["t"]


def test_plain_functions_become_tools() -> None:
    def double(x: int) -> int:
        """Doubles."""
        return 2 * x

    node = DurableParallelToolNode([double])
    found = outcome(node, Case([call("double", x=4)]), "sync")
    assert found["messages"][0][1]["content"] == "8"


def test_a_node_with_tools_alone_opens_no_journal_until_a_batch_is_durable(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOOLSLOT_HOME", raising=False)
    node = DurableParallelToolNode([add])
    outcome(node, Case([call("add", a=1, b=1)]), "sync")
    assert not list(tmp_path.iterdir())
