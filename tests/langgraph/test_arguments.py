"""A call is known by its arguments as a checkpoint gives them back: whatever a model's class puts into them, the call is found again."""

from __future__ import annotations

import asyncio
import gc
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.runtime import Runtime
from pydantic import BaseModel

from support.sending import FORMS, records
from toolslot import BatchMismatch, Done, ToolPolicy
from toolslot._domain._identity import args_digest
from toolslot_langgraph._arguments import _at_answer, _known, answered, issued, normal

pytestmark = pytest.mark.pairwise


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Item(BaseModel):
    name: str = "nail"
    due: date = date(2027, 1, 2)
    colour: Colour = Colour.RED


class Order(BaseModel):
    items: list[Item] = [Item()]
    tags: tuple[str, ...] = ("a", "b")


@dataclass
class Spot:
    x: int = 1
    more: tuple[int, ...] = (1, 2)
    at: datetime = field(default_factory=lambda: datetime(2027, 1, 2, tzinfo=timezone.utc))


class Pair(NamedTuple):
    a: int = 1
    b: str = "b"


class Text(str):
    __slots__ = ()


VALUES: dict[str, object] = {
    "lone surrogate": "50 \ud83d",
    "pydantic": Order(),
    "dataclass": Spot(),
    "tuple": (1, (2, [3, (4,)])),
    "date": date(2027, 1, 2),
    "datetime": datetime(2027, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))),
    "time": time(1, 2, 3),
    "timedelta": timedelta(days=1, microseconds=2),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"\x00\xff"),
    "int keys": {1: "a", 2: {3: "b"}},
    "tuple keys": {(1, 2): "a"},
    "nan": float("nan"),
    "infinity": float("-inf"),
    "enum": Colour.RED,
    "int enum": [Level.HIGH],
    "set": {"a", "b", "c"},
    "frozenset": frozenset({1, 2}),
    "uuid": UUID("12345678-1234-4678-8234-567812345678"),
    "decimal": Decimal("1.10"),
    "path": Path("/a/b"),
    "str subclass": Text("a"),
    "deep": {"a": [{"b": (Order(), {"c": {Colour.RED: Spot()}})}]},
    "text": "grüße \U0001f600",
}

#: LangGraph itself gives it back in another form in a message than as a part of a call that is sent, if its class is not allowed
NAMED_TUPLE: dict[str, object] = {"named tuple": Pair()}

SERIALIZERS: Mapping[str, Callable[[], Any]] = {
    "any class": JsonPlusSerializer,
    "no class": lambda: JsonPlusSerializer(allowed_msgpack_modules=None),
    "some classes": lambda: JsonPlusSerializer(allowed_msgpack_modules=[Order, Spot]),
    "own": lambda: Pickled(),
}


class Pickled:
    """A serializer of a user's own."""

    def dumps_typed(self, obj: object) -> tuple[str, bytes]:
        return "own", pickle.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> object:
        return pickle.loads(data[1])


class Work:
    """A tool of one call that fails while `broken`, and notes when it ran."""

    def __init__(self, talk: Any) -> None:
        self.ran: list[str] = []
        self.broken = True
        work = self

        def body(name: str) -> str:
            work.ran.append(name)
            if work.broken and name == "b":
                raise ConnectionError(name)
            return f"did {name}"

        def do(name: str, value: Any) -> str:
            """Works."""
            return body(name)

        async def ado(name: str, value: Any) -> str:
            """Works."""
            return body(name)

        self.tool = tool("work")(ado if talk.asynchronous else do)


def calls(value: object) -> list[dict[str, Any]]:
    return [
        {"name": "work", "args": {"name": name, "value": value}, "id": name, "type": "tool_call"}
        for name in ("a", "b")
    ]


def failed_and_resumed(talk: Any, form: str, value: object) -> Work:
    """A run whose second call fails, and its resume in another life."""
    talk.calls, work = calls(value), Work(talk)
    with pytest.raises(ConnectionError):
        talk.start(FORMS[form](talk, [work.tool]))
    talk.crash()
    work.broken = False
    talk.resume(FORMS[form](talk, [work.tool]))
    return work


@pytest.mark.parametrize("form", ["make_durable", "one_node"])
@pytest.mark.parametrize("value", VALUES | NAMED_TUPLE)
def test_a_failed_call_is_resumed_whatever_its_arguments_hold(talk: Any, form: str, value: str) -> None:
    work = failed_and_resumed(talk, form, (VALUES | NAMED_TUPLE)[value])
    assert sorted(work.ran) == ["a", "b", "b"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("serde", SERIALIZERS)
@pytest.mark.parametrize("provider_ids", [True, False], ids=["id", "no id"])
def test_it_is_resumed_in_every_door_and_with_every_serializer(
    talk: Any, form: str, serde: str, provider_ids: bool
) -> None:
    talk.saver, talk.provider_ids = InMemorySaver(serde=SERIALIZERS[serde]()), provider_ids
    work = failed_and_resumed(talk, form, [*VALUES.values()])
    assert sorted(work.ran) == ["a", "b", "b"]
    assert len(records(talk)) == 1


@pytest.mark.parametrize("value", VALUES)
def test_the_normal_form_is_that_of_what_a_checkpoint_gives_back(value: str) -> None:
    args = {"value": VALUES[value]}
    forms = [args_digest("t", normal(args))]
    for make in SERIALIZERS.values():
        serde = make()
        message: Any = serde.loads_typed(serde.dumps_typed(AIMessage("", tool_calls=[_call(args)])))
        sent: Any = serde.loads_typed(serde.dumps_typed(_call(args)))
        forms += [args_digest("t", normal(given["args"], serde)) for given in (message.tool_calls[0], sent)]
    assert len(set(forms)) == 1
    assert forms[0] is not None


def _call(args: dict[str, Any]) -> Any:
    return {"name": "work", "args": args, "id": "c", "type": "tool_call"}


def test_what_no_serializer_can_write_is_taken_as_it_is() -> None:
    args = {"big": 2**80, "when": date(2027, 1, 2), "what": object()}
    assert normal(args).keys() == args.keys()
    assert normal({"deep": _nested(500)}) == {"deep": _nested(500)}


def _nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_plain_arguments_stay_as_they_are_and_are_copied() -> None:
    args = {"a": [1, -0.0, True, None, "ä"], "b": {"c": {}}}
    copied = normal(args)
    assert copied == args
    assert repr(copied) == repr(args)
    assert copied["a"] is not args["a"]
    assert copied["b"]["c"] is not args["b"]["c"]


def test_copies_are_kept_as_long_as_their_message_lives() -> None:
    message = AIMessage("", tool_calls=[_call({"a": {"b": 1}})])
    answered(message)
    first = issued(message.tool_calls, message)
    message.tool_calls[0]["args"]["a"]["b"] = 2
    assert issued(message.tool_calls, message) == first
    assert first[0]["args"] == {"a": {"b": 1}}
    name = id(message)
    assert name in vars(_known)["_held"]
    assert name in vars(_at_answer)["_held"]
    del message
    gc.collect()
    assert name not in vars(_known)["_held"]
    assert name not in vars(_at_answer)["_held"]


def test_a_reconciler_sees_the_arguments_as_data(talk: Any) -> None:
    seen: list[Any] = []
    talk.calls, work = calls({"order": Item(), "when": date(2027, 1, 2), "spot": Pair()}), Work(talk)

    def look(slot: Any) -> Done:
        seen.append(slot.args["value"])
        return Done("found")

    policy = ToolPolicy(reconcile=look)
    with pytest.raises(ConnectionError):
        talk.start(FORMS["make_durable"](talk, [work.tool], default_policy=policy))
    talk.crash()
    talk.resume(FORMS["make_durable"](talk, [work.tool], default_policy=policy))
    item = {"name": "nail", "due": date(2027, 1, 2), "colour": "red"}
    assert seen == [{"order": item, "when": date(2027, 1, 2), "spot": [1, "b"]}]


@pytest.mark.parametrize("form", FORMS)
def test_a_mismatch_names_the_arguments_that_differ_and_advises_what_exists_there(
    talk: Any, form: str
) -> None:
    talk.calls, work = calls("secret"), Work(talk)
    with pytest.raises(ConnectionError):
        talk.start(FORMS[form](talk, [work.tool]))
    talk.crash()
    _rewrite(talk.saver, "secret", "hidden")
    with pytest.raises(BatchMismatch, match=r"They differ in arguments \('value'\)") as raised:
        talk.resume(FORMS[form](talk, [work.tool]))
    told = str(raised.value)
    assert "on_mismatch" not in told
    assert "secret" not in told
    assert "hidden" not in told
    assert sorted(work.ran) == ["a", "b"]


def test_another_number_of_calls_is_told_with_what_exists_there(talk: Any) -> None:
    work = Work(talk)
    work.broken = False
    node, config = (
        talk.node([work.tool]),
        {"configurable": {"__pregel_runtime": Runtime(), "durable_run_key": "r"}},
    )

    def run(count: int) -> None:
        asked = [AIMessage("", tool_calls=calls("x")[:count], id="msg_1")]
        asyncio.run(node.ainvoke(asked, config)) if talk.asynchronous else node.invoke(asked, config)

    run(1)
    with pytest.raises(BatchMismatch, match="with 1 calls, now 2 are presented") as raised:
        run(2)
    assert "batch id" not in str(raised.value)
    assert work.ran == ["a"]


def _rewrite(saver: Any, old: str, new: str) -> None:
    """Have every checkpoint and every write of its tasks say something else, as a person at the database can."""
    for store in (saver.blobs, *saver.writes.values()):
        for key, value in store.items():
            store[key] = _replaced(value, old.encode(), new.encode())
    for thread in saver.storage.values():
        for namespace in thread.values():
            for key, value in namespace.items():
                namespace[key] = _replaced(value, old.encode(), new.encode())


def _replaced(value: Any, old: bytes, new: bytes) -> Any:
    if isinstance(value, bytes):
        return value.replace(old, new)
    return tuple(_replaced(item, old, new) for item in value) if isinstance(value, tuple) else value
