"""What would come back as something else, or not at all, is refused when it is written."""

from __future__ import annotations

import array
import threading
import zoneinfo
from collections import OrderedDict
from datetime import datetime, time, timedelta, tzinfo
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from toolslot import InvalidSetting, NotStorable, UnreadablePayload
from toolslot._codec import JsonCodec

CODEC = JsonCodec()
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


class Color(IntEnum):
    RED = 1


class Plain(Enum):
    ONE = 1


class Text(str):
    __slots__ = ()


class Number(float):  # what a NumPy float64 is
    pass


class Unhashable(type):
    __hash__ = None  # type: ignore[assignment]


class Pair(NamedTuple):
    a: int
    b: int


class Zoneless(tzinfo):
    def utcoffset(self, dt: datetime | None) -> None:
        return None

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


class Broken(Zoneless):
    def utcoffset(self, dt: datetime | None) -> None:
        raise LookupError("no such zone: s3cret")


class Fickle(Zoneless):
    """Gives another offset each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def utcoffset(self, dt: datetime | None) -> Any:
        self.asked += 1
        return timedelta(minutes=self.asked)


@pytest.mark.parametrize(
    "value",
    [
        Color.RED,
        Plain.ONE,
        Text("a"),
        Number(1.0),
        Pair(1, 2),
        OrderedDict(a=1),
        ValueError("no"),
        Path("/tmp"),
        Fraction(1, 3),
        object(),
        Unhashable("Unhashable", (), {})(),
        object,
        len,
        range(3),
        array.array("d", [1.0]),
        memoryview(b"a"),
        iter([1]),
        datetime(2024, 1, 1, tzinfo=Zoneless()),
        datetime(2024, 1, 1, tzinfo=Broken()),
        datetime(2024, 1, 1, tzinfo=Fickle()),
        time(1, tzinfo=BERLIN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_come_back_as_something_else_is_refused(value: object) -> None:
    for holder in (value, [value], {"a": value}, {1: value}, (value,), {"a": [{"$": value}]}):
        with pytest.raises(NotStorable):
            CODEC.encode(holder)


def test_keys_and_elements_of_a_subclass_are_refused() -> None:
    for holder in ({Text("a"): 1}, {Color.RED: 1}, {Color.RED}, frozenset({Text("a")}), {Pair(1, 2): 1}):
        with pytest.raises(NotStorable):
            CODEC.encode(holder)


def test_a_refusal_names_the_type_the_place_and_the_way_out() -> None:
    with pytest.raises(NotStorable) as caught:
        CODEC.encode({"s3cret": [1, {"hunter2": Path("/s3cret")}]})
    text = str(caught.value)
    assert type(Path()).__qualname__ in text
    assert "value 0 > item 1 > value 0" in text
    assert "JsonCodec(types=" in text


@pytest.mark.parametrize("value", [{"s3cret": {1: Text("s3cret")}}, [datetime(2024, 1, 1, tzinfo=Broken())]])
def test_a_refusal_never_holds_the_value(value: object) -> None:
    with pytest.raises(NotStorable) as caught:
        CODEC.encode(value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_value_in_a_circle_is_refused_at_once() -> None:
    ring: list[object] = []
    ring.extend([ring, ring])
    loop: dict[object, object] = {1: ()}
    loop[2] = (loop, loop)
    for value in (ring, loop):
        with pytest.raises(NotStorable, match="contains itself"):
            CODEC.encode(value)


def test_depth_is_limited_when_writing_and_the_limit_is_readable() -> None:
    assert CODEC.decode(CODEC.encode(nested(200))) == nested(200)
    for levels in (201, 500, 100_000):
        with pytest.raises(NotStorable, match="deeper than 200"):
            CODEC.encode(nested(levels))


@pytest.mark.parametrize("wrap", [lambda v: (v,), lambda v: frozenset({v}), lambda v: {1: v}, lambda v: [v]])
def test_whatever_is_written_at_the_limit_of_depth_can_be_read(wrap: Any) -> None:
    value: Any = b"x"
    levels = 0
    while levels < 300:
        value = wrap(value)
        try:
            data = CODEC.encode(value)
        except NotStorable:
            break
        CODEC.decode(data)
        levels += 1
    assert 50 < levels < 200


@pytest.mark.parametrize(
    "value", ["x" * 100, b"x" * 100, ["x" * 100], ("x" * 100,), {"x" * 100: 1}, [0] * 60, 7**400]
)
def test_size_is_limited_in_both_directions(value: object) -> None:
    data = CODEC.encode(value)
    exact, short = JsonCodec(max_bytes=len(data)), JsonCodec(max_bytes=len(data) - 1)
    assert exact.decode(exact.encode(value)) == value
    with pytest.raises(NotStorable, match=f"more than {len(data) - 1} bytes"):
        short.encode(value)
    with pytest.raises(UnreadablePayload, match="max_bytes"):
        short.decode(data)


@pytest.mark.parametrize(
    "pair", [lambda item: [item, item], lambda item: (item, item), lambda item: {1: item, 2: item}]
)
def test_shared_parts_that_unfold_without_end_are_refused_before_memory_is(pair: Any) -> None:
    value: Any = ["x" * 1000]
    for _ in range(50):
        value = pair(value)
    with pytest.raises(NotStorable, match="more than 1000000 bytes"):
        JsonCodec(max_bytes=1_000_000).encode(value)


def test_what_another_thread_changes_meanwhile_is_stored_or_refused_but_nothing_else_is_raised() -> None:
    value: dict[object, object] = {i: (i,) for i in range(50)}
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            value[len(value)] = ()
            value.pop(next(reversed(value)))

    other = threading.Thread(target=change)
    other.start()
    try:
        for _ in range(50):
            try:
                CODEC.decode(CODEC.encode(value))
            except NotStorable:
                continue
    finally:
        done.set()
        other.join()


@pytest.mark.parametrize("limit", [0, -1, True, 1.5])
def test_a_limit_that_means_nothing_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidSetting):
        JsonCodec(max_bytes=limit)
    with pytest.raises(InvalidSetting):
        JsonCodec(max_depth=limit)


def test_too_little_stack_is_an_error_of_the_codec() -> None:
    data, refused = CODEC.encode(nested(150)), list[Exception]()

    def descend() -> None:
        try:
            descend()
        except RecursionError:
            for attempt in (lambda: CODEC.encode(nested(150)), lambda: CODEC.decode(data)):
                try:
                    attempt()
                except (NotStorable, UnreadablePayload) as error:
                    refused.append(error)

    descend()
    assert any("stack" in str(error) for error in refused if isinstance(error, NotStorable))
    assert any("stack" in str(error) for error in refused if isinstance(error, UnreadablePayload))
