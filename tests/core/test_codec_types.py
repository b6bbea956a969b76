"""Classes that the reader registers in code."""

from __future__ import annotations

import enum
import math
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic
import pytest

from toolslot import InvalidSetting, NotStorable, UnreadablePayload
from toolslot._codec import (
    JsonCodec,
    TypeCodec,
    dataclass_type,
    enum_type,
    pydantic_type,
)


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Order:
    at: datetime
    points: tuple[Point, ...] = ()
    total: Decimal = Decimal(0)
    count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", len(self.points))


@dataclass
class Forgetful:
    seed: InitVar[int]
    value: int = 0

    def __post_init__(self, seed: int) -> None:
        self.value = self.value or seed


@dataclass
class Counting:
    seen: int = field(init=False, default=0)


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1
    BLUE = "b"


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Inner(pydantic.BaseModel):
    when: datetime
    ratio: float = 0.0


class Invoice(pydantic.BaseModel):
    number: int = pydantic.Field(alias="Number")
    amount: Decimal
    inner: list[Inner] = []
    tags: set[str] = set()
    anything: Any = None
    _private: int = pydantic.PrivateAttr(default=0)

    @cached_property
    def label(self) -> str:
        return f"#{self.number}"


class Hiding(pydantic.BaseModel):
    shown: int = 1
    hidden: int = pydantic.Field(default=0, exclude=True)


class Extra(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


WHEN = datetime(2024, 1, 2, tzinfo=timezone.utc)


def round_trip(value: Any, *types: TypeCodec[Any]) -> Any:
    codec = JsonCodec(types)
    again = codec.decode(codec.encode(value))
    assert type(again) is type(value)
    return again


# --- dataclasses and enums ----------------------------------------------------------------------------------------------


def test_a_registered_dataclass_comes_back_with_all_it_holds() -> None:
    order = Order(WHEN, (Point(1.0), Point(math.inf, -0.0)), Decimal("1.10"))
    assert round_trip(order, dataclass_type(Order), dataclass_type(Point)) == order
    assert round_trip({(1,): [order]}, dataclass_type(Order), dataclass_type(Point)) == {(1,): [order]}


def test_a_nan_in_a_dataclass_is_no_difference() -> None:
    assert math.isnan(round_trip(Point(math.nan), dataclass_type(Point)).x)


def test_every_class_inside_must_be_registered_too() -> None:
    with pytest.raises(NotStorable, match=r"Point \(dump of Order, part 0 > value 1 > item 0\)"):
        JsonCodec([dataclass_type(Order)]).encode(Order(WHEN, (Point(1),)))


def test_a_dataclass_that_does_not_come_back_the_same_is_refused() -> None:
    with pytest.raises(NotStorable):
        JsonCodec([dataclass_type(Forgetful)]).encode(Forgetful(3))
    counting = Counting()
    round_trip(counting, dataclass_type(Counting))
    counting.seen = 2  # not a parameter, and not computed either
    with pytest.raises(NotStorable, match="would not be the same"):
        JsonCodec([dataclass_type(Counting)]).encode(counting)


def test_a_subclass_of_a_registered_class_is_refused() -> None:
    class Special(Point):
        pass

    with pytest.raises(NotStorable, match="Special"):
        JsonCodec([dataclass_type(Point)]).encode(Special(1))


def test_a_field_added_later_takes_its_default() -> None:
    old = b't{"$":"x:Point","v":{"x":1.5}}'
    assert JsonCodec([dataclass_type(Point)]).decode(old) == Point(1.5, 0.0)


@pytest.mark.parametrize(
    "stored", ['{"y":1}', '{"x":1,"z":2}', "[1,2]", "null", '{"x":1,"__class__":2}', "{}"]
)
def test_stored_fields_that_the_class_does_not_take_are_refused(stored: str) -> None:
    with pytest.raises(UnreadablePayload):
        JsonCodec([dataclass_type(Point)]).decode(f't{{"$":"x:Point","v":{stored}}}'.encode())


@pytest.mark.parametrize("stored", ["[]", '""', "null", "{1:2}"])
def test_a_dataclass_is_read_from_a_dict_only(stored: str) -> None:
    codec = JsonCodec([dataclass_type(Counting)])
    assert codec.decode(b't{"$":"x:Counting","v":{}}') == Counting()
    with pytest.raises(UnreadablePayload):
        codec.decode(f't{{"$":"x:Counting","v":{stored}}}'.encode())


def test_enums_come_back_as_the_same_member() -> None:
    types = enum_type(Color), enum_type(Level), enum_type(Right)
    for member in (
        Color.RED,
        Color.CRIMSON,
        Color.BLUE,
        Level.LOW,
        Right.READ,
        Right.READ | Right.WRITE,
        Right(0),
    ):
        assert round_trip([member, {member: 1}, {member}], *types)[0] is member


@pytest.mark.parametrize("stored", ['"GREEN"', "1", "[]", "null", '"__class__"'])
def test_an_enum_is_read_by_the_name_of_a_member_only(stored: str) -> None:
    with pytest.raises(UnreadablePayload):
        JsonCodec([enum_type(Color)]).decode(f't{{"$":"x:Color","v":{stored}}}'.encode())


@pytest.mark.parametrize("stored", ["true", "1.0", '"READ"', "8", "[1]", "null"])
def test_a_flag_is_read_by_its_value_only(stored: str) -> None:
    with pytest.raises(UnreadablePayload):
        JsonCodec([enum_type(Right)]).decode(f't{{"$":"x:Right","v":{stored}}}'.encode())


# --- pydantic -----------------------------------------------------------------------------------------------------------


def test_a_registered_model_comes_back_with_all_it_holds() -> None:
    invoice = Invoice(
        Number=7,
        amount=Decimal("1.10"),
        inner=[Inner(when=WHEN, ratio=math.nan)],
        tags={"a", "b"},
        anything=[1],
    )
    assert invoice.label == "#7"  # a cached property is no part of the value
    again = round_trip(invoice, pydantic_type(Invoice))
    assert (again.number, again.amount, again.tags, again.anything) == (7, Decimal("1.10"), {"a", "b"}, [1])
    assert again.inner[0].when == WHEN


@pytest.mark.parametrize("anything", [(1, 2), Level.LOW, Decimal(1), {1: 2}, WHEN, Point(1)])
def test_a_model_whose_field_would_change_its_type_is_refused(anything: object) -> None:
    with pytest.raises(NotStorable):
        JsonCodec([pydantic_type(Invoice)]).encode(Invoice(Number=1, amount=Decimal(1), anything=anything))


def test_a_model_that_would_lose_something_is_refused() -> None:
    invoice = Invoice(Number=1, amount=Decimal(1))
    invoice._private = 5
    codec = JsonCodec([pydantic_type(Invoice), pydantic_type(Hiding), pydantic_type(Extra)])
    for model in (invoice, Hiding(hidden=1), Extra(when=WHEN)):
        with pytest.raises(NotStorable):
            codec.encode(model)
    assert codec.decode(codec.encode(Hiding(shown=2))) == Hiding(shown=2)
    assert codec.decode(codec.encode(Extra(n=2))) == Extra(n=2)


def test_what_a_model_refuses_is_unreadable_and_not_quoted() -> None:
    with pytest.raises(UnreadablePayload) as caught:
        JsonCodec([pydantic_type(Invoice)]).decode(b't{"$":"x:Invoice","v":{"Number":"s3cret"}}')
    assert "s3cret" not in str(caught.value)
    assert "ValidationError" in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_helper_for_the_wrong_kind_of_class_is_refused() -> None:
    for helper in (dataclass_type, enum_type, pydantic_type):
        for wrong in (int, Path, 3):
            with pytest.raises(InvalidSetting, match="TypeCodec"):
                helper(wrong)  # type: ignore[operator]


# --- hand-written -------------------------------------------------------------------------------------------------------

PATH = TypeCodec(name="path", cls=type(Path()), dump=str, load=type(Path()))


def test_a_hand_written_codec_stores_any_class() -> None:
    assert round_trip([Path("/a"), {Path("b"): {Path("c")}}], PATH) == [Path("/a"), {Path("b"): {Path("c")}}]


def test_a_codec_whose_load_forgets_is_caught_when_writing() -> None:
    lossy = TypeCodec(name="path", cls=type(Path()), dump=str, load=lambda text: Path(text.lower()))
    codec = JsonCodec([lossy])
    assert codec.decode(codec.encode([Path("a")])) == [Path("a")]
    with pytest.raises(NotStorable, match="item 1"):
        codec.encode([Path("a"), Path("B")])
    for within in ({Path("B")}, {(math.nan, Path("B"))}, {Path("B"): 1}, {1: Path("B")}, (Path("B"),)):
        with pytest.raises(NotStorable, match="not be the same"):
            codec.encode(within)


def test_same_decides_where_dump_alone_cannot() -> None:
    rounded = TypeCodec(
        name="p", cls=Point, dump=lambda p: round(p.x), load=lambda x: Point(float(x)), same=Point.__eq__
    )
    codec = JsonCodec([rounded])
    assert codec.decode(codec.encode(Point(2.0))) == Point(2.0)
    with pytest.raises(NotStorable):
        codec.encode(Point(2.5))


def test_whatever_dump_or_load_raise_is_an_error_of_the_codec() -> None:
    def fail(_: object) -> Any:
        raise LookupError("s3cret")

    data = JsonCodec([PATH]).encode([Path("a")])
    with pytest.raises(NotStorable, match="LookupError") as written:
        JsonCodec([TypeCodec(name="path", cls=type(Path()), dump=fail, load=fail)]).encode([Path("a")])
    with pytest.raises(UnreadablePayload, match="LookupError") as read:
        JsonCodec([TypeCodec(name="path", cls=type(Path()), dump=fail, load=fail)]).decode(data)
    assert "s3cret" not in str(written.value) + str(read.value)


def test_a_load_that_gives_another_class_is_refused() -> None:
    codec = JsonCodec([TypeCodec(name="path", cls=type(Path()), dump=str, load=str)])
    with pytest.raises(UnreadablePayload, match=r"gave a builtins\.str"):
        codec.decode(b't{"$":"x:path","v":"a"}')
    with pytest.raises(NotStorable):
        codec.encode(Path("a"))


def test_a_dump_that_never_ends_is_refused() -> None:
    endless = TypeCodec(name="point", cls=Point, dump=lambda point: [point], load=lambda _: Point(1))
    with pytest.raises(NotStorable, match="deeper"):
        JsonCodec([endless]).encode(Point(1))


def test_a_class_must_be_registered_where_it_is_read() -> None:
    data = JsonCodec([dataclass_type(Point)]).encode([Point(1)])
    with pytest.raises(UnreadablePayload, match="'Point'"):
        JsonCodec().decode(data)
    with pytest.raises(UnreadablePayload, match="'Point'"):
        JsonCodec([dataclass_type(Point, "other")]).decode(data)


def test_a_class_or_a_name_that_would_mean_two_things_is_refused() -> None:
    for types in (
        [dataclass_type(Point), dataclass_type(Point, "again")],
        [dataclass_type(Point, "same"), dataclass_type(Order, "same")],
    ):
        with pytest.raises(InvalidSetting, match="twice"):
            JsonCodec(types)
    with pytest.raises(InvalidSetting, match="empty"):
        dataclass_type(Point, "")


@pytest.mark.parametrize("cls", [int, str, dict, tuple, datetime, type(None)])
def test_a_built_in_class_cannot_be_registered(cls: type) -> None:
    with pytest.raises(InvalidSetting, match="stored exactly already"):
        JsonCodec([TypeCodec(name="mine", cls=cls, dump=str, load=str)])


def test_a_registered_name_never_meets_a_built_in_tag() -> None:
    assert round_trip((Point(1),), dataclass_type(Point, "tuple")) == (Point(1),)
