"""What comes back of what a tool node returns."""

from __future__ import annotations

import math
import os
from collections import deque, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import ormsgpack
import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.types import Command, Overwrite, Send
from pydantic import BaseModel, SecretStr

from toolslot import InvalidSetting, NotStorable, UnreadablePayload
from toolslot_langgraph import LangGraphCodec
from toolslot_langgraph._codec import MessageNotStorable, ToParent

CODEC = LangGraphCodec()


class Model(BaseModel):
    x: int


@dataclass
class Data:
    x: int


class Colour(Enum):
    RED = "red"


class Plain:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain)

    __hash__ = None  # type: ignore[assignment]


Point = namedtuple("Point", "x y")


def message(artifact: Any = None, content: Any = "text", **more: Any) -> ToolMessage:
    return ToolMessage(content, tool_call_id="c1", name="pay", artifact=artifact, **more)


def back(value: Any, codec: LangGraphCodec = CODEC) -> Any:
    return codec.decode(codec.encode(value))


@pytest.mark.parametrize(
    "original",
    [
        message(),
        message(content=""),
        message(content="ünï\u0000\u202e" * 100),
        message(
            content=[{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}, "b"]
        ),
        message(status="error", id="m-1"),
        message(additional_kwargs={"k": [1, {"z": None}]}, response_metadata={"r": 1.5}),
        message(extra_field="kept"),
        message(
            artifact={"lc": 2, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}}
        ),
    ],
    ids=repr,
)
def test_a_message_comes_back_whole(original: ToolMessage) -> None:
    found = back(original)
    assert type(found) is ToolMessage
    assert found == original
    assert found is not original


@pytest.mark.parametrize(
    "artifact",
    [
        {"a": [1, 2.5, None, True, "x"], "b": {"c": {}}},
        {1: "int key"},
        {"a", "b"},
        frozenset({1}),
        deque([1, 2]),
        b"\x00\xff",
        date(2026, 2, 3),
        datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=timezone.utc),
        timedelta(days=1, microseconds=3),
        UUID(int=7),
        Decimal("1.10"),
        Path("/tmp/x"),
        float("inf"),
        2**63,
        HumanMessage("hi", id="h"),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        Document(page_content="page", metadata={"k": 1}),
        Overwrite([1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_artifact_of_these_types_comes_back_as_it_was(artifact: Any) -> None:
    found = back(message(artifact)).artifact
    assert type(found) is type(artifact)
    assert found == artifact


def test_a_nan_comes_back() -> None:
    assert math.isnan(back(message(float("nan"))).artifact)


@pytest.mark.parametrize(
    ("artifact", "plain"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (Model(x=1), {"x": 1}),
        (Data(x=1), {"x": 1}),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Colour.RED, "red"),
        (ValueError("no"), "ValueError('no')"),
        (bytearray(b"ab"), b"ab"),
        ("\ud800", "?"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_artifact_of_another_class_comes_back_as_plain_data(artifact: Any, plain: Any) -> None:
    assert back(message(artifact)).artifact == plain


@pytest.mark.parametrize(
    "artifact", [Model(x=1), Data(x=1), Colour.RED, [Model(x=2)], {"deep": {"er": Data(x=3)}}], ids=repr
)
def test_an_allowed_class_comes_back_itself(artifact: Any) -> None:
    codec = LangGraphCodec([Model, Data, (Colour.__module__, "Colour")])
    found = back(message(artifact), codec).artifact
    assert type(found) is type(artifact)
    assert found == artifact


@pytest.mark.parametrize(
    "artifact",
    [Plain(), 2**64, object(), {"x": Plain()}, SecretStr("s"), lambda: 1],
    ids=lambda v: type(v).__name__,
)
def test_what_cannot_be_written_or_would_change_unseen_is_refused_with_the_text_the_model_saw(
    artifact: Any,
) -> None:
    with pytest.raises(MessageNotStorable) as caught:
        CODEC.encode(message(artifact, content="said"))
    assert caught.value.text == "said"


def test_a_value_that_breaks_while_it_is_written_is_not_storable() -> None:
    class Broken(BaseModel):
        def model_dump(self, **_: Any) -> Any:
            raise RuntimeError("secret value")

    with pytest.raises(NotStorable, match="cannot be stored") as caught:
        CODEC.encode(message(Broken()))
    assert "secret" not in str(caught.value)


def test_something_endless_is_not_storable() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NotStorable):
        CODEC.encode(message(endless))


@pytest.mark.parametrize(
    "command",
    [
        Command(),
        Command(
            update={"messages": [ToolMessage("t", tool_call_id="c", artifact={"a": 1})], "n": 1}, goto="next"
        ),
        Command(update=[HumanMessage("x"), RemoveMessage(id="m")]),
        Command(update=(("a", 1), ("b", [2]))),
        Command(update=[("a", 1)], goto=["x", "y"]),
        Command(graph=Command.PARENT, goto=[Send("w", {"i": 1}), Send("w", {"i": 2}, timeout=3.0)]),
        Command(graph=Command.PARENT, goto=(Send("w", {"i": 1}),)),
        Command(graph="other|graph:123", goto=Send("w", [1])),
        Command(resume={"id": "yes"}),
        Command(update={"x": Overwrite([1])}),
    ],
    ids=repr,
)
def test_a_command_comes_back_such_that_the_node_treats_it_alike(command: Command[Any]) -> None:
    found = back(command)
    assert type(found.goto) is type(command.goto)
    assert (found.graph is Command.PARENT) is (command.graph is Command.PARENT)
    assert list(found._update_as_tuples()) == list(command._update_as_tuples())
    assert found.goto == command.goto
    assert (found.graph, found.resume) == (command.graph, command.resume)


def test_a_state_object_inside_an_update_comes_back_as_plain_data() -> None:
    assert back(Command(update={"x": Model(x=1)})).update == {"x": {"x": 1}}


@pytest.mark.parametrize("update", [Model(x=1), Data(x=1)], ids=repr)
def test_a_state_object_as_the_update_is_stored_only_when_its_class_is_allowed(update: Any) -> None:
    with pytest.raises(NotStorable):
        CODEC.encode(Command(update=update))
    assert back(Command(update=update), LangGraphCodec([type(update)])).update == update


def test_a_list_of_messages_and_commands_comes_back_in_order() -> None:
    original = [Command(graph=Command.PARENT, goto=[Send("w", 1)]), message({"a"}), Command(update={"n": 1})]
    found = back(original)
    assert found == original
    assert found[0].graph is Command.PARENT
    assert isinstance(found[0].goto, list)


def test_a_hand_over_to_the_parent_comes_back() -> None:
    found = back(ToParent(Command(graph="ns", update={"n": 1}, goto="x")))
    assert found == ToParent(Command(graph="ns", update={"n": 1}, goto="x"))


@pytest.mark.parametrize("value", ["paid", 7, None, {"a": [1]}, [1, 2], [], True], ids=repr)
def test_plain_values_decided_by_a_person_come_back(value: Any) -> None:
    assert back(value) == value


def test_every_read_gives_a_fresh_object() -> None:
    data = CODEC.encode(message([1]))
    first, second = CODEC.decode(data), CODEC.decode(data)
    first.artifact.append(2)
    assert second.artifact == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        b"\xc1",
        ormsgpack.packb({"tag": "message"}),
        ormsgpack.packb([1, "message"]),
        ormsgpack.packb([2, "message", {}]),
        ormsgpack.packb([1, "from the future", {}]),
        ormsgpack.packb([1, ["message"], {}]),
        ormsgpack.packb([1, "message", {"content": "no id"}]),
        ormsgpack.packb([1, "command", [1, 2]]),
        ormsgpack.packb([1, "list", [["message"]]]),
        CODEC.encode(message())[:-3],
    ],
    ids=repr,
)
def test_damaged_or_foreign_bytes_are_unreadable_not_guessed_at(data: bytes) -> None:
    with pytest.raises(UnreadablePayload):
        CODEC.decode(data)


@pytest.mark.parametrize("code", [0, 1, 2, 4, 5])
def test_case_pickle_bytes_that_name_a_function_run_nothing(code: int, tmp_path: Path) -> None:
    victim = tmp_path / "ran"
    arguments: Any = {0: f"touch {victim}", 1: [f"touch {victim}"], 2: {"command": f"touch {victim}"}}.get(
        code, {"command": f"touch {victim}"}
    )
    inner = ormsgpack.packb([os.system.__module__, "system", arguments, "model_validate_json"])
    data = ormsgpack.packb([1, "plain", ormsgpack.Ext(code, inner)])
    assert CODEC.decode(data) == arguments
    assert not victim.exists()


def test_allowed_types_are_checked_where_they_are_given() -> None:
    with pytest.raises(InvalidSetting, match="neither a class nor"):
        LangGraphCodec(["os.system"])  # type: ignore[list-item]
    with pytest.raises(InvalidSetting):
        LangGraphCodec([("a", "b", "c")])  # type: ignore[list-item]


def test_the_environment_does_not_decide_what_may_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "false")
    assert back(message(Model(x=1)), LangGraphCodec()).artifact == {"x": 1}
