"""What the codec stores comes back exactly: same types, same contents."""

from __future__ import annotations

import decimal
import math
import time as clock
import zoneinfo
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolslot._codec import JsonCodec

CODEC = JsonCodec()
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def shape(value: Any) -> object:
    """All that must survive, in a form that `==` compares: the types, the sign of zero, one NaN, the order of keys but not of sets."""
    cls = type(value)
    if cls in (list, tuple):
        return cls, [shape(item) for item in value]
    if cls in (set, frozenset):
        return cls, sorted((shape(item) for item in value), key=repr)
    if cls is dict:
        return cls, [(shape(key), shape(item)) for key, item in value.items()]
    if cls in (float, complex, Decimal):
        return cls, repr(value)
    if cls in (datetime, time):
        return cls, value.isoformat(), value.fold
    return cls, value


def round_trip(value: object) -> object:
    data = CODEC.encode(value)
    again = CODEC.decode(data)
    assert shape(again) == shape(value)
    return again


def _name(value: object) -> str:
    """The same in every process: the order of a set's items is not, and an int may have more digits than Python prints."""
    text = "n" if value.__class__ is int else "" if isinstance(value, (set, frozenset)) else repr(value)[:30]
    return f"{type(value).__name__}-{text}"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**64 + 1,
        -(2**200),
        10**640 - 1,
        10**640,
        -(10**640),
        7**20_000,
        0.0,
        -0.0,
        0.1,
        5e-324,
        1.7976931348623157e308,
        math.nan,
        math.inf,
        -math.inf,
        "",
        "text \x00 \x1b \u2028 \U0001f600 \ufeff",
        "\ud83d",
        "\ud83d\ude00",
        ["\ud83d\ude00", {"\udfff": 1}],
        b"",
        b"\x00\xff",
        bytearray(b"\x00\xff"),
        [],
        [1, "a", None, [True, 1.0]],
        {},
        {"a": {"b": [1]}, "": None},
        {"z": 1, "a": 2},
        (),
        (1, (2,)),
        ([1], {"a": (2,)}),
        set(),
        {1, "1", 2.5, None, b"x", (1, 2)},
        frozenset({frozenset({1}), frozenset()}),
        {1: "a", "1": "b", None: "c", 2.5: "d"},
        {(1, 2): "a", (): "b"},
        {True: 1, "a": {b"k": 2}},
        {"$": 1},
        {"$": "tuple", "v": [1, 2]},
        {"a": {"$": "unknown", "v": None}},
        [{"$": "tuple", "v": (1,)}],
        datetime(2024, 2, 29, 12, 30, 15, 123456),
        datetime(2024, 2, 29, tzinfo=timezone.utc),
        datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
        datetime(1900, 1, 1, tzinfo=timezone(timedelta(seconds=3208, microseconds=7))),
        datetime(2024, 10, 27, 2, 30, fold=1),
        datetime.min,
        datetime.max.replace(tzinfo=timezone.utc),
        date(2024, 2, 29),
        time(23, 59, 59, 999999),
        time(1, 2, tzinfo=timezone(timedelta(hours=2)), fold=1),
        timedelta(days=-1, microseconds=1),
        timedelta.max,
        Decimal("1.10"),
        Decimal("-0"),
        Decimal("1E+1000"),
        Decimal("NaN"),
        Decimal("sNaN123"),
        Decimal("-Infinity"),
        Decimal("1" * 5000),
        UUID("12345678-1234-5678-1234-567812345678"),
        complex(-0.0, math.inf),
        complex(math.nan, -0.0),
    ],
    ids=_name,
)
def test_every_value_comes_back_exactly(value: object) -> None:
    round_trip(value)
    round_trip([value, {"k": value}])


hashable_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**639, max_value=10**700)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.binary(max_size=8)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(timezone.utc) | st.timezones())
    | st.times()
    | st.timedeltas()
    | st.complex_numbers()
)
hashables = st.recursive(
    hashable_leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
leaves = hashable_leaves | st.decimals(allow_nan=True) | st.binary(max_size=8).map(bytearray)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(hashables, max_size=4)
        | st.dictionaries(st.sampled_from(["$", "v", "a"]) | st.text(max_size=3), inner, max_size=3)
        | st.dictionaries(hashables, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=400)
@given(values)
def test_any_nesting_of_values_comes_back_exactly(value: object) -> None:
    round_trip(value)


def test_each_reading_gives_a_new_object() -> None:
    data = CODEC.encode([{"a": []}])
    first, second = CODEC.decode(data), CODEC.decode(data)
    assert first == second
    assert first is not second
    assert first[0]["a"] is not second[0]["a"]  # type: ignore[index]


def test_a_named_zone_comes_back_as_its_offset_at_the_same_instant() -> None:
    noon = datetime(2024, 7, 1, 12, tzinfo=BERLIN)
    again = round_trip(noon)
    assert again == noon
    assert isinstance(again, datetime)
    assert again.tzinfo == timezone(timedelta(hours=2))


def test_both_halves_of_a_repeated_hour_stay_apart() -> None:
    first = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
    second = first.replace(fold=1)
    a, b = round_trip(first), round_trip(second)
    assert b - a == timedelta(hours=1)  # type: ignore[operator]


def nan_sets() -> set[object]:
    """Items that equal nothing, not even themselves after a round trip; their order within a set follows their address."""
    return {frozenset({math.nan, i, frozenset({i, str(i), float("nan")})}) for i in range(20)} | {
        (math.nan, datetime(2024, 10, 27, 2, minute, fold=1, tzinfo=zone))
        for minute in range(10)
        for zone in (BERLIN, timezone.utc)
    }


def test_a_set_of_items_that_equal_nothing_comes_back() -> None:
    again = CODEC.decode(CODEC.encode(nan_sets()))
    assert isinstance(again, set)
    assert len(again) == 40
    assert CODEC.encode(again) == CODEC.encode(nan_sets())


def test_a_nan_deep_inside_sets_takes_no_long_time() -> None:
    value: object = float("nan")
    for _ in range(90):
        value = frozenset({value, 1})
    start = clock.process_time()
    round_trip(value)
    assert clock.process_time() - start < 2


def test_a_decimal_does_not_depend_on_the_decimal_context() -> None:
    value = Decimal("1E+30")
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 3
        data = CODEC.encode([value])
    assert data == CODEC.encode([value])
    assert shape(CODEC.decode(data)) == shape([value])


def test_strings_bytes_and_none_are_stored_without_json() -> None:
    assert CODEC.encode("a\n") == b"sa\n"
    assert CODEC.encode(b"\x00") == b"b\x00"
    assert CODEC.encode(None) == b"n"


def test_the_written_form_is_fixed() -> None:
    """Journals hold it: a change of any line here needs a new version in the codec's name."""
    assert CODEC.name == "tagged-json/1"
    assert CODEC.encode({"b": [1, 1.0, True], "$": "x"}) == b'j{"b":[1,1.0,true],"$":"x"}'
    assert CODEC.encode({"b": (), "$": "x"}) == b't{"$":"dict","v":[["b",{"$":"tuple","v":[]}],["$","x"]]}'
    assert CODEC.encode({"b": "ü", "a": None}) == b'j{"b":"\xc3\xbc","a":null}'
    assert CODEC.encode((b"\x00", {2, 1})) == (
        b't{"$":"tuple","v":[{"$":"bytes","v":"AA=="},{"$":"set","v":[1,2]}]}'
    )
    assert CODEC.encode(datetime(2024, 1, 2, tzinfo=timezone.utc)) == (
        b't{"$":"datetime","v":"2024-01-02T00:00:00+00:00"}'
    )
    assert CODEC.encode(-math.inf) == b't{"$":"float","v":"-inf"}'
