"""Values of messages, states and memories through bytes and back."""

from __future__ import annotations

import io
import json
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from toolslot import JsonCodec, NotStorable, TypeCodec, UnreadablePayload
from toolslot_llamaindex._exact import NotRestorable, Reading, Writing, name_of
from toolslot_llamaindex._values import ValueCodec, are_alike


class Part(BaseModel):
    """As SDKs have them: built without validation, with fields that no one declared."""

    model_config = ConfigDict(extra="allow")
    id: str
    index: int = 0
    _note: str = PrivateAttr(default="")


class Turn(ChatMessage):
    """A message of a class of its own."""

    seen: tuple[int, ...] = ()


class Level(IntEnum):
    LOW = 1


class Ways(Flag):
    A = 1
    B = 2


class Kind(Enum):
    ONE = ("one", 1)


class Box(dict[str, Any]):
    pass


class Word(str):
    pass


@dataclass(frozen=True, slots=True)
class Slotted:
    n: int
    more: list[int] = field(default_factory=list)


class Strict:
    """Made only by its constructor, and nothing says how to write it."""


MINE = [Part, Turn, Level, Ways, Kind, Box, Word, Slotted]


def loose() -> Part:
    part = Part.model_construct(
        id=7, other={"a": (1,)}
    )  # not what the field says: SDKs take what the server sent
    part._note = "kept"
    return part


def box() -> Box:
    found = Box(a={"!": 1})
    found.label = "x"  # type: ignore[attr-defined]
    return found


def values() -> list[Any]:
    return [
        ThinkingBlock(content="hm", additional_information={"thought_signature": b"\xff\xfe\x80"}),
        ToolCallBlock(tool_name="t", tool_kwargs={"a": {"b": [1, 2.0, None]}}),
        ImageBlock(image=io.BytesIO(b"\x89PNG\xff")),
        ImageBlock(url="https://example.org/a.png"),
        ImageBlock(path=__file__),
        ChatMessage(
            role="assistant",
            blocks=[TextBlock(text="x")],
            additional_kwargs={
                "tool_calls": [loose(), Part(id="a")],
                "bytes": b"\xff",
                "tuple": (1, (2,)),
                "set": {"a", "b", ("c", 1)},
                "frozen": frozenset({Level.LOW}),
                "when": datetime(2026, 1, 2, tzinfo=timezone.utc),
                "cents": Decimal("1.10"),
                "inf": float("inf"),
                "enum": [Kind.ONE, Level.LOW, Ways.A | Ways.B],
                "marked": {"!": "model", "n": "os:system"},
                "by number": {1: "a", None: "b", (1, 2): Kind.ONE},
            },
        ),
        Turn(role="assistant", content="x", seen=(1, 2)),
        box(),
        Word("w"),
        OrderedDict([("b", 1), ("a", Part(id="x"))]),
        Slotted(n=1, more=[2]),
        [Path("a/b"), {"x": loose()}],
    ]


@pytest.mark.parametrize("value", values(), ids=lambda value: type(value).__name__)
def test_a_value_comes_back_with_every_type_and_state_that_it_had(value: Any) -> None:
    codec = ValueCodec.of(MINE)
    back = codec.decode(codec.encode(value))
    assert type(back) is type(value)
    if not isinstance(value, (ImageBlock, Path)):
        assert back == value
    assert codec.encode(back) == codec.encode(value)


def test_of_a_model_the_fields_that_were_set_come_back_set() -> None:
    codec = ValueCodec.of(MINE)
    for part in (Part(id="a"), Part(id="a", index=0), loose()):
        back = codec.decode(codec.encode(part))
        assert back.model_fields_set == part.model_fields_set
        assert back.model_dump_json(exclude_unset=True, warnings=False) == part.model_dump_json(
            exclude_unset=True, warnings=False
        )
        assert (back._note, back.model_extra) == (part._note, part.model_extra)


def test_no_constructor_and_no_validator_runs_when_a_value_is_read() -> None:
    ran: list[str] = []

    class Acting(BaseModel):
        n: int

        def model_post_init(self, _: Any) -> None:
            ran.append("model")

    @dataclass
    class ActingToo:
        n: int

        def __post_init__(self) -> None:
            ran.append("dataclass")

    codec = ValueCodec.of([Acting, ActingToo])
    data = codec.encode([Acting(n=1), ActingToo(n=2)])
    ran.clear()
    assert [each.n for each in codec.decode(data)] == [1, 2]
    assert ran == []


def test_a_class_that_is_not_allowed_is_kept_and_refused_until_it_is_allowed() -> None:
    message = ChatMessage(role="assistant", content="x", additional_kwargs={"tool_calls": ["a", loose()]})
    with pytest.raises(NotStorable, match="allowed_types"):
        ValueCodec.of().encode([message])
    kept = ValueCodec.of().keep([message])
    assert kept.problem is not None
    with pytest.raises(NotRestorable) as refused:
        ValueCodec.of().decode(kept.data)
    for problem in (kept.problem, refused.value):
        assert (problem.where, problem.kept) == ("[0].additional_kwargs.tool_calls[1]", True)
        assert problem.cls == f"{__name__}.Part"
        assert "allowed_types=" in problem.remedy
    assert ValueCodec.of([Part]).decode(kept.data) == [message]


def test_keys_that_may_be_data_are_not_shown_in_a_path() -> None:
    kept = ValueCodec.of().keep({"secret card 4111": [loose()]})
    assert kept.problem is not None
    assert kept.problem.where == "[...][0]"


def test_of_an_object_that_nothing_can_write_a_mark_is_kept_and_its_own_codec_may_stand_in() -> None:
    kept = ValueCodec.of().keep({"a": [1, Strict()]})
    assert kept.problem is not None
    assert not kept.problem.kept
    with pytest.raises(NotRestorable, match=r"Strict.*TypeCodec.*None"):
        ValueCodec.of().decode(kept.data)
    given: list[Any] = []

    def load(data: Any) -> Strict:
        given.append(data)
        return Strict()

    own = TypeCodec(name="strict", cls=Strict, dump=lambda _: "state", load=load)
    assert isinstance(ValueCodec.of([own]).decode(kept.data)["a"][1], Strict)
    assert given[-1] is None
    codec = ValueCodec.of([own])
    assert isinstance(codec.decode(codec.encode([Strict()]))[0], Strict)
    assert given[-1] == "state"


def test_a_class_kept_by_its_state_is_allowed_by_a_codec_for_it_too() -> None:
    kept = ValueCodec.of().keep([loose()])
    own = TypeCodec(name="part", cls=Part, dump=lambda part: part.id, load=lambda data: Part(id=data))
    assert ValueCodec.of([own]).decode(kept.data) == [loose()]


def test_a_class_that_its_allowed_class_has_in_a_field_is_allowed_with_it() -> None:
    class Receipt(BaseModel):
        parts: list[Part] | None
        level: Level

    codec = ValueCodec.of([Receipt])
    receipt = Receipt(parts=[Part(id="a")], level=Level.LOW)
    assert codec.decode(codec.encode(receipt)) == receipt


def test_a_field_that_a_newer_class_has_besides_takes_its_default_and_a_missing_one_is_refused() -> None:
    def version(**fields: Any) -> type[BaseModel]:
        return type(
            "Versioned",
            (BaseModel,),
            {"__annotations__": fields, "b": 5} if "b" in fields else {"__annotations__": fields},
        )

    class Making(BaseModel):
        a: int
        b: list[int] = Field(default_factory=list)

    class Sharing(BaseModel):
        a: int
        b: list[int] = []

    class Acting(BaseModel):
        a: int
        b: int = Field(default_factory=lambda: pytest.fail("it ran"))

    old, newer, other = version(a=int), version(a=int, b=int), version(c=int)
    for cls in (Making, Sharing, Acting):
        cls.__qualname__, cls.__module__ = old.__qualname__, old.__module__
    data = ValueCodec.of([old]).encode([old(a=1)])
    assert ValueCodec.of([newer]).decode(data)[0].b == 5
    for cls in (Making, Sharing):
        ValueCodec.of([cls]).decode(data)[0].b.append(1)
        assert ValueCodec.of([cls]).decode(data)[0].b == []
    for cls in (other, Acting):
        with pytest.raises(UnreadablePayload, match="other fields now"):
            ValueCodec.of([cls]).decode(data)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "subprocess:Popen",
        "toolslot_nowhere:Thing",
        "antigravity:Thing",
        f"{__name__}:Strict",
        "llama_index.core.schema:uuid",
        "llama_index.core.llms.llm:LLM",
        "llama_index.core.base.llms.types:ChatMessage.__init__",
    ],
)
def test_a_name_in_the_data_selects_nothing_that_is_not_allowed_and_imports_nothing(name: str) -> None:
    for kind in ("model", "record", "enum", "derived"):
        data = b"k" + JsonCodec().encode(
            {"!": kind, "n": name, "v": {}, "s": [], "x": None, "p": None, "d": {}}
        )
        with pytest.raises(NotRestorable):
            ValueCodec.of().decode(data)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "stored",
    [
        {"!": "model"},
        {"!": "strange", "n": f"{__name__}:Part", "v": {}},
        {"!": "model", "n": f"{__name__}:Slotted", "v": {}},
        {"!": "enum", "n": f"{__name__}:Kind", "v": "TWO"},
        {"!": "model", "n": f"{__name__}:Part", "v": {}, "s": [], "x": None, "p": None},
        {"!": "model", "n": f"{__name__}:Part", "v": {"id": 1, "strange": 2}, "s": [], "x": None, "p": None},
        {"!": "derived", "n": f"{__name__}:Box", "v": [1], "d": {}},
        {"!": "dict", "v": 1},
        {"!": "set", "v": [{}]},
        {"!": "own", "n": "llama_index.ToolOutput", "v": 3},
        {"!": []},
    ],
    ids=json.dumps,
)
def test_damaged_data_is_refused(stored: Any) -> None:
    with pytest.raises(UnreadablePayload):
        ValueCodec.of(MINE).decode(b"k" + JsonCodec().encode(stored))


def test_a_value_that_would_come_back_another_is_not_kept_as_if_it_were_the_same() -> None:
    class Shifting:
        """Comes back with one more."""

        def __init__(self, n: int = 0) -> None:
            self.n = n

    own = TypeCodec(name="shifting", cls=Shifting, dump=lambda it: it.n, load=lambda n: Shifting(n + 1))
    kept = ValueCodec.of([own]).keep([Shifting()])
    assert kept.problem is not None
    with pytest.raises(NotRestorable):
        ValueCodec.of([own]).decode(kept.data)


class Counted:
    def __init__(self, n: object) -> None:
        self.n = n


def counting(loads: list[object]) -> ValueCodec:
    def load(n: object) -> Counted:
        loads.append(n)
        return Counted(n)

    return ValueCodec.of([TypeCodec(name="counted", cls=Counted, dump=lambda it: it.n, load=load)])


def test_a_value_that_comes_again_as_it_was_is_not_looked_through_again() -> None:
    loads: list[object] = []
    codec, value = counting(loads), [Counted(1)]
    first = codec.encode(value)
    assert codec.lenient.encode([Counted(1)]) == first
    assert loads == [1], "once, to see whether it comes back the same"


def test_a_value_that_was_changed_in_place_is_stored_as_it_is_now() -> None:
    codec, part = ValueCodec.of([Part]), Part(id="a")
    for told in (1, True, 1.0, "1", 1):
        part.id = told  # type: ignore[assignment]
        back = codec.decode(codec.encode(part)).id
        assert (type(back), back) == (type(told), told)


def test_what_is_remembered_of_values_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolslot_llamaindex._values._MOST_REMEMBERED", 3)
    codec = ValueCodec.of([Part])
    for n in range(10):
        codec.encode(Part(id=str(n)))
        assert 0 < len(codec._remembered) <= 3
    codec = ValueCodec.of([Part])
    codec.encode(Part(id="x" * 2**15))
    assert not codec._remembered


@dataclass
class Reply(dict[str, Any]):
    """A dataclass that is a dict too, as the Hugging Face SDK has them."""

    id: str

    def __post_init__(self) -> None:
        self["id"] = self.id


def test_a_dataclass_that_is_a_dict_too_comes_back_as_both() -> None:
    codec, value = ValueCodec.of([Reply]), Reply("a")
    value["more"] = 1
    back = codec.decode(codec.encode([value]))[0]
    assert (type(back), dict(back), back.id) == (Reply, {"id": "a", "more": 1}, "a")
    kept = ValueCodec.of().keep([value])
    assert codec.decode(kept.data) == [value], "what is not allowed is kept all the same"


class Open(Enum):
    """Makes members of values that it does not know, as SDKs do."""

    A = "A"

    @classmethod
    def _missing_(cls, value: object) -> Any:
        made = object.__new__(cls)
        made._name_ = made._value_ = str(value)
        return made


def test_of_a_value_only_the_object_is_lost_that_cannot_be_made_again_and_it_is_named() -> None:
    message = ChatMessage(content="x", additional_kwargs={"a": [loose(), Open("new")], "b": (1,)})
    kept = ValueCodec.of(MINE).keep({"response": message})
    assert kept.problem is not None
    assert (kept.problem.where, kept.problem.cls) == ("response.additional_kwargs.a[1]", f"{__name__}.Open")
    own = TypeCodec(name="open", cls=Open, dump=lambda it: it.value, load=lambda data: Open(data or "new"))
    message.additional_kwargs["a"][1] = Open.A
    back = ValueCodec.of([*MINE, own]).decode(kept.data)["response"]
    assert back.additional_kwargs["a"][1].value == "new"
    assert (back.content, back.additional_kwargs["b"]) == ("x", (1,))


def test_of_two_classes_of_one_name_the_second_is_lost() -> None:
    first, second = (type("Same", (BaseModel,), {"__annotations__": {name: int}}) for name in "ab")
    kept = ValueCodec.of().keep([first(a=1), second(b=1)])
    assert kept.problem is not None
    assert kept.problem.where == "[1]"


def test_plain_json_that_is_nested_deeply_is_kept_whole() -> None:
    deep: Any = loop()
    assert ValueCodec.of().keep([deep]).problem is not None
    deep = 1
    for _ in range(100):
        deep = {"a": [deep]} if _ % 3 == 0 else {"a": deep}
    value = [ToolCallBlock(tool_name="t", tool_kwargs=deep)]
    codec = ValueCodec.of()
    assert codec.decode(codec.encode(value)) == value
    assert codec.decode(codec.encode(deep)) == deep


def loop() -> list[Any]:
    found: list[Any] = []
    found += [found, found]
    return found


def test_what_is_too_deep_is_told_as_that() -> None:
    kept = ValueCodec.of().keep([loose(), loop()])
    assert kept.problem is not None
    assert "nested too deeply" in kept.problem.remedy


def test_neither_a_property_nor_an_enum_is_made_what_data_say() -> None:
    class Guarded:
        n: int

        @property
        def boom(self) -> int:
            return 1

        @boom.setter
        def boom(self, value: object) -> None:
            pytest.fail("it ran")

    guarded = dataclass(type("Guarded", (Guarded,), {"__annotations__": {"n": int}}))
    stored = {"!": "record", "n": name_of(guarded), "v": {"n": 1, "boom": 2}}
    assert ValueCodec.of([guarded]).decode(b"k" + JsonCodec().encode(stored)).n == 1
    stored = {"!": "derived", "n": name_of(Level), "v": 7, "d": {"_value_": 7, "_name_": "X"}}
    with pytest.raises(UnreadablePayload):
        ValueCodec.of([Level]).decode(b"k" + JsonCodec().encode(stored))


def test_a_value_that_contains_itself_is_not_kept_and_harms_nothing() -> None:
    loop: list[Any] = [loose()]
    loop.append(loop)
    assert ValueCodec.of().keep(loop).problem is not None


def test_a_digest_is_the_same_for_the_same_value_whatever_its_objects_are() -> None:
    def message() -> ChatMessage:
        return ChatMessage(content="x", additional_kwargs={"a": Strict(), "b": {"x", "y", "z"}, "c": b"\xff"})

    codec = ValueCodec.of()
    assert codec.digest([message()]) == codec.digest([message()])
    assert codec.digest({"a": 1, "b": 2}) == codec.digest({"b": 2, "a": 1})
    assert codec.digest(ThinkingBlock(content="x")) == codec.digest(
        ThinkingBlock(content="x", num_tokens=None)
    )
    assert codec.digest(ThinkingBlock(content="x")) != codec.digest(ThinkingBlock(content="y"))


def test_values_are_alike_whichever_of_their_fields_were_set() -> None:
    codec = ValueCodec.of(MINE)
    one, other, third = (
        codec.encode([Part(**each)]) for each in ({"id": "a"}, {"id": "a", "index": 0}, {"id": "b"})
    )
    assert one != other
    assert are_alike(one, other)
    assert not are_alike(one, third)
    assert not are_alike(codec.encode(1), codec.encode(True))


def test_plain_values_have_the_form_that_they_always_had() -> None:
    for value in (None, "x", [1, {"a": b"\x00"}], (1, {2})):
        assert ValueCodec.of().encode(value) == JsonCodec().encode(value)


def test_a_walk_reads_what_it_wrote_without_bytes_too() -> None:
    writing = Writing({})
    assert Reading(writing.met.get, ()).value(writing.tree([loose(), box()])) == [loose(), box()]
