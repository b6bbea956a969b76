"""Recorded values come back with the type that the serializer of the run's saver would give them; a crafted journal makes nothing act."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import ormsgpack
import pytest
from langchain.agents import AgentState, create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

from support.sending import GO, Model, options
from toolslot import UnreadablePayload
from toolslot_langgraph import DurableToolMiddleware, LangGraphCodec, make_durable
from toolslot_langgraph._saver_types import saver_types

pytestmark = pytest.mark.pairwise


class Line(BaseModel):
    sku: str = "nail"


class Order(BaseModel):
    number: int = 7
    lines: list[Line] = [Line()]


@dataclass
class Receipt:
    number: int = 7
    order: Any = None


class Colour(Enum):
    RED = "red"


class Pair(NamedTuple):
    a: int = 1
    b: str = "b"


class Signed(ToolMessage):
    signature: str = "s"


class Remark(HumanMessage):
    mood: str = "good"


VALUES: Mapping[str, Any] = {
    "model": Order(),
    "models in a list": [Order(), {"x": Order(number=8)}],
    "dataclass": Receipt(order=Order()),
    "enum": Colour.RED,
    "named tuple": Pair(),
    "message": Remark("x", id="m"),
    "tuple": (1, (2,)),
}


def any_class() -> JsonPlusSerializer:
    """As it is by default, unless the environment says otherwise."""
    return JsonPlusSerializer(allowed_msgpack_modules=True)


SERIALIZERS: Mapping[str, Any] = {
    "any class": any_class,
    "no class": lambda: JsonPlusSerializer(allowed_msgpack_modules=None),
    "some": lambda: JsonPlusSerializer(allowed_msgpack_modules=[Order, Line, Remark]),
    "encrypted": lambda: EncryptedSerializer(_Reversed(), any_class()),
}


class _Reversed:
    """Stands for a cipher."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "reversed", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return ciphertext[::-1]


class State(AgentState[Any]):
    order: Any


class Tools:
    """One that puts `value` into the state, or into an artifact, and one that asks a person; and how often the first ran."""

    def __init__(self, talk: Any, value: Any) -> None:
        self.ran = 0

        def made(call_id: str) -> Command[Any]:
            self.ran += 1
            message = ToolMessage("made", tool_call_id=call_id, artifact=value)
            return Command(update={"order": value, "messages": [message]})

        def make(call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
            """Makes."""
            return made(call_id)

        async def amake(call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
            """Makes."""
            return made(call_id)

        def look() -> tuple[str, Any]:
            """Looks."""
            return "looked", value

        async def alook() -> tuple[str, Any]:
            """Looks."""
            return "looked", value

        def ask() -> str:
            """Asks."""
            return str(interrupt("go on?"))

        async def aask() -> str:
            """Asks."""
            return str(interrupt("go on?"))

        either = talk.asynchronous
        self.all = [
            tool("make")(amake if either else make),
            tool("look", response_format="content_and_artifact")(alook if either else look),
            tool("ask")(aask if either else ask),
        ]


def _agent(talk: Any, tools: Any, **more: Any) -> Any:
    return create_agent(Model(talk=talk), tools, checkpointer=talk.saver, state_schema=State, **more)


def with_make_durable(talk: Any, tools: Any, **settings: Any) -> Any:
    return make_durable(_agent(talk, tools), **options(talk, settings))


def with_middleware(talk: Any, tools: Any, **settings: Any) -> Any:
    middleware: Any = DurableToolMiddleware(**options(talk, settings))
    return _agent(talk, tools, middleware=[middleware])


def _graph(talk: Any, tools: Any, *, sent: bool) -> Any:
    def model(state: State) -> Any:
        return {"messages": [Model(talk=talk).invoke(state["messages"])]}

    graph: Any = StateGraph(State)
    graph.add_node("model", model)
    graph.add_node("tools", talk.node(tools))
    graph.add_edge(START, "model")
    if sent:
        graph.add_conditional_edges("model", _each, ["tools"])
    else:
        graph.add_edge("model", "tools")
    return graph.compile(checkpointer=talk.saver)


def _each(state: State) -> list[Send]:
    return [Send("tools", [call]) for call in state["messages"][-1].tool_calls]  # type: ignore[attr-defined]


DOORS: Mapping[str, Any] = {
    "make_durable": with_make_durable,
    "middleware": with_middleware,
    "sent": lambda talk, tools: _graph(talk, tools, sent=True),
    "one_node": lambda talk, tools: _graph(talk, tools, sent=False),
}


#: each value with a serializer that makes every class and one that makes none, and two of them with the others
GIVEN = [(value, serde) for value in VALUES for serde in ("any class", "no class")]
GIVEN += [(value, serde) for value in ("model", "enum") for serde in ("some", "encrypted")]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("value", "serde"), GIVEN)
@pytest.mark.parametrize("crashed", [False, True], ids=["alive", "crashed"])
def test_values_come_back_as_the_savers_serializer_would_give_them(
    talk: Any, door: str, serde: str, value: str, crashed: bool
) -> None:
    serializer = SERIALIZERS[serde]()
    talk.saver, tools = InMemorySaver(serde=serializer), Tools(talk, VALUES[value])
    talk.calls = [{"name": name, "args": {}, "id": name} for name in ("make", "look", "ask")]
    agent = DOORS[door](talk, tools.all)
    talk.run(agent, GO)
    if crashed:
        talk.crash()
        agent = DOORS[door](talk, tools.all)
    state = talk.run(agent, Command(resume="yes"))
    expected = serializer.loads_typed(serializer.dumps_typed(VALUES[value]))
    assert type(state["order"]) is type(expected)
    assert state["order"] == expected
    made, looked = [m for m in state["messages"] if isinstance(m, ToolMessage)][:2]
    assert (made.content, looked.content, tools.ran) == ("made", "looked", 1)
    if door == "one_node":
        assert type(looked.artifact) is type(expected)
        assert looked.artifact == expected


# --- what a crafted journal can do --------------------------------------------------------------------------------------


def config(serde: Any) -> RunnableConfig:
    return {"configurable": {"__pregel_checkpointer": InMemorySaver(serde=serde)}}


def named(code: int, module: str, name: str, value: Any) -> bytes:
    inner = ormsgpack.packb([module, name, value, "model_validate_json"])
    return ormsgpack.packb([1, "plain", ormsgpack.Ext(code, inner)])


class Pickling(JsonPlusSerializer):
    """As a user has it who wants everything to be stored."""

    def __init__(self) -> None:
        super().__init__(pickle_fallback=True, allowed_msgpack_modules=True)


@pytest.mark.parametrize("serde", [any_class, Pickling], ids=["any class", "pickling"])
@pytest.mark.parametrize("code", [0, 1, 2, 4, 5])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (os.system.__module__, "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("langchain_core.runnables.base", "RunnableLambda"),
        ("antigravity", "fly"),
    ],
)
def test_nothing_that_acts_is_made_whatever_the_saver_allows(
    serde: Any, code: int, module: str, name: str, tmp_path: Path
) -> None:
    assert subprocess.Popen
    assert RunnableLambda
    victim = tmp_path / "ran"
    command = f"touch {victim}"
    value: Any = {0: command, 1: [command]}.get(code, {"args": command, "shell": True})
    with saver_types(config(serde())):
        assert LangGraphCodec().decode(named(code, module, name, value)) == value
    assert not victim.exists()


def test_a_class_that_this_process_has_not_loaded_is_not_imported(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "toolslot_victim.py").write_text(
        "from pydantic import BaseModel\nclass V(BaseModel): x: int\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with saver_types(config(any_class())):
        assert LangGraphCodec().decode(named(5, "toolslot_victim", "V", {"x": 1})) == {"x": 1}


def test_pickled_bytes_are_refused_whatever_the_saver_allows() -> None:
    import pickle

    with saver_types(config(Pickling())), pytest.raises(UnreadablePayload):
        LangGraphCodec().decode(pickle.dumps([1, "plain", "x"]))


def test_a_state_object_as_the_update_comes_back_where_the_saver_would_make_it() -> None:
    update = Order()
    with saver_types(config(any_class())):
        data = LangGraphCodec().encode(Command(update=update))
        found: Any = LangGraphCodec().decode(data)
    assert found.update == update
    strict = saver_types(config(JsonPlusSerializer(allowed_msgpack_modules=None)))
    with strict, pytest.raises(UnreadablePayload, match="allowed_types="):
        LangGraphCodec().decode(data)


@pytest.mark.parametrize("serde", SERIALIZERS)
def test_a_message_of_a_users_class_is_a_message_when_it_comes_back(serde: str) -> None:
    serializer = SERIALIZERS[serde]()
    original = Signed("text", tool_call_id="c", name="pay")
    with saver_types(config(serializer)):
        found: Any = LangGraphCodec().decode(LangGraphCodec().encode(original))
    assert (found.content, found.tool_call_id, found.name) == ("text", "c", "pay")
    assert isinstance(found, ToolMessage)
    assert (type(found) is Signed) is (serde in ("any class", "encrypted"))


def test_what_is_allowed_here_comes_back_although_the_saver_would_not_make_it() -> None:
    with saver_types(config(JsonPlusSerializer(allowed_msgpack_modules=None))):
        codec = LangGraphCodec([Order, Line])
        assert codec.decode(codec.encode(Command(update={"order": Order()}))) == Command(
            update={"order": Order()}
        )
