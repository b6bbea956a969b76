"""Damaged and hostile bytes give `UnreadablePayload`, quickly, and run nothing."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolslot._codec import JsonCodec, Payload, decode
from toolslot._codec._nesting import nesting_exceeds
from toolslot._errors import UnreadablePayload

CODEC = JsonCodec()


def tagged(tag: str, value: str) -> bytes:
    return f't{{"$":"{tag}","v":{value}}}'.encode()


DAMAGED = {
    "nothing": b"",
    "unknown kind": b"q[]",
    "pickle": pickle.dumps(print),
    "None and more": b"nn",
    "no JSON": b"j",
    "cut": CODEC.encode({"a": [1, 2]})[:-1],
    "cut tagged": CODEC.encode([b"abc"])[:-3],
    "more after it": b"j[] []",
    "not UTF-8": b"s\xff",
    "not UTF-8 in JSON": b'j["\xff"]',
    "NaN": b"j[NaN]",
    "Infinity": b"t[-Infinity]",
    "a comment": b"j[1 /*a*/]",
}
TAGS = {
    "unknown": tagged("nope", "1"),
    "empty": tagged("", "1"),
    "dotted name": tagged("os.system", '"touch /tmp/never"'),
    "registered dotted name": tagged("x:os.system", '"touch /tmp/never"'),
    "registered, none is": tagged("x:Point", '{"x":1}'),
    "builtin function": tagged("x:eval", '"1+1"'),
    "attribute of a class": tagged("__class__", "[]"),
    "reduce": tagged("py/reduce", '[{"py/function":"os.system"},["true"]]'),
    "tag is no text": b't{"$":1,"v":1}',
    "tag is a list": b't{"$":["tuple"],"v":[]}',
    "no value": b't{"$":"tuple"}',
    "value and more": b't{"$":"tuple","v":[],"w":1}',
    "tag alone": b't{"$":null}',
    "deep inside": b't[[{"a":{"$":"nope","v":{"$":"tuple","v":[]}}}]]',
}
VALUES = [
    *(
        tagged(tag, value)
        for tag in ("tuple", "set", "frozenset", "dict")
        for value in ("null", "1", '"ab"', '{"a":1}')
    ),
    *(
        tagged(tag, value)
        for tag in ("datetime", "date", "time")
        for value in ("null", "1", '"x"', '""', "[]", '["x",2]')
    ),
    tagged("datetime", '"20240101T000000"'),
    tagged("datetime", '"2024-01-01 00:00:00"'),
    tagged("datetime", '["2024-01-01T00:00:00",true]'),
    tagged("datetime", '["2024-01-01T00:00:00",1,1]'),
    tagged("datetime", '"2024-01-01T00:00:00Z"'),
    tagged("date", '"2024-13-01"'),
    tagged("timedelta", "[1,2]"),
    tagged("timedelta", "[1,2,3,4]"),
    tagged("timedelta", "[true,0,0]"),
    tagged("timedelta", "[0,86400,0]"),
    tagged("timedelta", "[99999999999999999999,0,0]"),
    tagged("timedelta", '"1"'),
    tagged("decimal", '"x"'),
    tagged("decimal", '" 1"'),
    tagged("decimal", '"1_0"'),
    tagged("decimal", "1"),
    tagged("uuid", '"x"'),
    tagged("uuid", '"{12345678-1234-5678-1234-567812345678}"'),
    tagged("bytes", '"%%%%"'),
    tagged("bytes", '"YQ"'),
    tagged("bytes", '"YR=="'),
    tagged("bytes", "[1]"),
    tagged("bytearray", "null"),
    tagged("complex", "[1,2]"),
    tagged("complex", '["1","2"]'),
    tagged("float", '"1.0"'),
    tagged("float", '"Infinity"'),
    tagged("float", "1"),
    tagged("int", '"0x10"'),
    tagged("int", '"10"'),
    tagged("int", "1"),
    tagged("set", "[1,1]"),
    tagged("set", "[1,true]"),
    tagged("set", "[[]]"),
    tagged("frozenset", "[{}]"),
    tagged("dict", "[[1]]"),
    tagged("dict", "[[1,2,3]]"),
    tagged("dict", '["ab"]'),
    tagged("dict", "[[[],1]]"),
    tagged("dict", "[[1,2],[1,3]]"),
    tagged("bytes", '{"$":"bytes","v":"YQ=="}'),
]
HOSTILE = [*DAMAGED.values(), *TAGS.values(), *VALUES]


@pytest.mark.parametrize("data", [*DAMAGED.values(), *TAGS.values()], ids=[*DAMAGED, *TAGS])
def test_damaged_or_unknown_data_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadablePayload):
        CODEC.decode(data)


@pytest.mark.parametrize("data", VALUES, ids=lambda data: data[5:60].decode())
def test_a_tag_with_a_value_that_is_not_its_own_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadablePayload):
        CODEC.decode(data)


RUN_ALL = """
import sys
from toolslot._codec import JsonCodec
from toolslot._errors import UnreadablePayload

codec = JsonCodec()
seen = []
FORBIDDEN = ("import", "exec", "compile", "open", "os.", "subprocess.", "pickle.", "socket.", "ctypes.")
watching = False

def watch(event, args):
    if watching and event.startswith(FORBIDDEN):
        seen.append((event, args))

sys.addaudithook(watch)
for data in HOSTILE:
    watching = True
    try:
        codec.decode(data)
    except UnreadablePayload:
        watching = False
    else:
        sys.exit(f"{data!r} was read")
sys.exit(repr(seen) if seen else 0)
"""


def test_hostile_data_imports_opens_and_runs_nothing() -> None:
    """Seen from the interpreter's own audit events."""
    done = subprocess.run(
        [sys.executable, "-c", f"HOSTILE = {HOSTILE!r}\n{RUN_ALL}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def bombs() -> Iterator[tuple[str, bytes]]:
    yield "lists", b"j" + b"[" * 1_000_000
    yield "closed lists", b"j" + b"[" * 100_000 + b"]" * 100_000
    yield "objects", b"t" + b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield "tuples", b"t" + b'{"$":"tuple","v":[' * 50_000 + b"]}" * 50_000
    yield "just too deep", b"j" + b"[" * 201 + b"]" * 201
    yield "behind a string", b'j["' + b'\\"]]' * 100_000 + b'",' + b"[" * 201 + b"]" * 202
    yield "behind an open string", b'j["' + b'\\"' * 1_000_000 + b"[" * 300
    yield "digits", b"j" + b"9" * 10_000_000
    yield "negative digits", b"j[-" + b"9" * 10_000_000 + b"]"
    yield "hexadecimal of a list", tagged("int", "[" + "1," * 100_000 + "1]")
    yield "an exponent", tagged("decimal", '"1E+' + "9" * 1_000_000 + '"')


@pytest.mark.parametrize("data", [bomb for _, bomb in bombs()], ids=[name for name, _ in bombs()])
def test_a_bomb_is_refused_in_no_time(data: bytes) -> None:
    start = time.process_time()
    with pytest.raises(UnreadablePayload):
        CODEC.decode(data)
    assert time.process_time() - start < 2


def test_long_digits_are_refused_even_where_the_interpreter_would_read_them() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        start = time.process_time()
        with pytest.raises(UnreadablePayload):
            CODEC.decode(b"j" + b"9" * 3_000_000)
        assert time.process_time() - start < 2
    finally:
        sys.set_int_max_str_digits(before)


def test_an_interpreter_that_reads_few_digits_reads_all_that_was_written() -> None:
    values = [10**640 - 1, 1 - 10**640, 10**640, 7**9000]
    data = CODEC.encode(values)
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert CODEC.decode(data) == values
        assert CODEC.encode(values) == data
    finally:
        sys.set_int_max_str_digits(before)


def test_a_larger_depth_can_be_allowed() -> None:
    data = b"j" + b"[" * 201 + b"]" * 201
    assert JsonCodec(max_depth=201).decode(data)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("1", 0),
        ("[]", 1),
        ('[{"a":[1]},[2]]', 3),
        ('["[[[", "]]]"]', 1),
        (r'["\"[[[", "\\", [1]]', 2),
        (r'{"\\\"[": "\\\\"}', 1),
        (r'["\u005c", [1]]', 2),
    ],
)
def test_nesting_is_counted_outside_of_strings_only(text: str, levels: int) -> None:
    assert not nesting_exceeds(text.encode(), levels)
    if levels:
        assert nesting_exceeds(text.encode(), levels - 1)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60) | st.text(alphabet='tjsbn{}[]"$v:,0x\\', max_size=40).map(str.encode))
def test_any_bytes_give_a_value_or_an_error_of_the_codec(data: bytes) -> None:
    for payload in (Payload(codec=CODEC.name, data=data), Payload(codec="text/1", data=data)):
        try:
            decode(payload, {})
        except UnreadablePayload:
            continue


@pytest.mark.parametrize("data", ["s", None, 1, ["s"]])
def test_what_is_not_bytes_is_refused(data: object) -> None:
    with pytest.raises(UnreadablePayload):
        CODEC.decode(data)  # type: ignore[arg-type]


def test_an_error_does_not_quote_the_data() -> None:
    for data in (b"j[s3cret]", b"s\xffs3cret", tagged("decimal", '"s3cret"'), tagged("bytes", '"s3cret%"')):
        with pytest.raises(UnreadablePayload) as caught:
            CODEC.decode(data)
        assert "s3cret" not in str(caught.value)
