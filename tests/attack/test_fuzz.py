"""Any bytes whatever give a value or a `ToolslotError` from every decoder. The nightly run looks for longer, and more cleverly."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("llama_index.core")
pytest.importorskip("langgraph")

from support import decoders

#: what JSON, base64 and our own formats are made of
PIECES = st.sampled_from(
    [
        b'{"',
        b'":',
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b"null",
        b"true",
        b"-1",
        b"1e999",
        b'"$"',
        b'"v"',
        b"\0",
        b'"\\ud800"',
        b"9" * 700,
    ]
)


@st.composite
def changed(draw: st.DrawFn, seed: bytes) -> bytes:
    """Something that was really written, damaged in a few places."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, 8))
        data[at : at + gone] = draw(st.binary(max_size=4) | PIECES)
    return bytes(data)


def inputs(name: str) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=64) | st.sampled_from(decoders.SEEDS[name]).flatmap(changed)


@pytest.mark.parametrize("name", decoders.DECODERS)
def test_any_bytes_give_a_value_or_an_error_of_ours(name: str) -> None:
    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(inputs(name))
    def holds(data: bytes) -> None:
        decoders.run(name, data)

    holds()


@pytest.mark.parametrize("name", decoders.DECODERS)
def test_what_was_really_written_is_read(name: str) -> None:
    """Else the fuzzer would only ever knock at the door."""
    read = 0
    for seed in decoders.SEEDS[name]:
        try:
            decoders.DECODERS[name](seed)
        except decoders.ToolslotError:
            continue
        read += 1
    assert read


#: what made a decoder raise something else once
ONCE = [
    ("row of the list", b"%a1/batch"),
    ("encryption row", decoders.SEEDS["encryption row"][1]),
    ("unlocked batch", decoders.SEEDS["unlocked batch"][2]),
    ("llamaindex turn", b"[" * 100_000),
    ("llamaindex run", b"[" * 100_000),
]


@pytest.mark.parametrize(("name", "data"), ONCE, ids=[name for name, _ in ONCE])
def test_what_broke_a_decoder_once_is_an_error_of_ours(name: str, data: bytes) -> None:
    with pytest.raises(decoders.ToolslotError):
        decoders.DECODERS[name](data)
