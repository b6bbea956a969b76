"""Between values and payloads: whose bytes these are, and what is kept of a value that no codec can write."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from toolslot import NotStorable, UnreadablePayload
from toolslot._codec import JsonCodec, Payload, dataclass_type, decode, encode


@dataclass
class Point:
    x: float
    y: float = 0.0


class Nasty:
    def __repr__(self) -> str:
        raise RuntimeError("s3cret")


class Shouting:
    def __repr__(self) -> str:
        return "\x1b[31mred\n\u202etxt\ud800\x00" + "x" * 1_000_000


def test_a_payload_names_its_codec_and_hides_its_data() -> None:
    payload = encode("s3cret", JsonCodec())
    assert (payload.codec, payload.data, payload.lossy) == ("tagged-json/1", b"ss3cret", False)
    assert "s3cret" not in repr(payload)
    assert decode(payload, {}) == "s3cret"


def test_what_cannot_be_stored_leaves_a_text_marked_lossy() -> None:
    payload = encode([Point(1.0)], JsonCodec())
    assert (payload.codec, payload.lossy) == ("repr/1", True)
    assert decode(payload, {}) == "[Point(x=1.0, y=0.0)]"


def test_a_text_that_a_codec_keeps_is_told_from_a_repr() -> None:
    class Keeping(JsonCodec):
        def encode(self, value: object) -> bytes:
            refused = NotStorable("no")
            refused.text = "Point(x=2.0, y=0.0)"
            raise refused

    kept, described = encode(Point(1.0), Keeping()), encode(Point(1.0), JsonCodec())
    assert (kept.lossy, kept.described) == (True, False)
    assert (described.lossy, described.described) == (True, True)
    assert decode(kept, {}) == "Point(x=2.0, y=0.0)"


def test_without_fallback_what_cannot_be_stored_is_an_error() -> None:
    with pytest.raises(NotStorable):
        encode(object(), JsonCodec(), fallback=False)


def test_the_text_survives_any_repr_and_stays_small_and_printable() -> None:
    for value in (
        Nasty(),
        [Nasty()],
        Shouting(),
        [Shouting()] * 3,
        "x" * 5000,
        object,
        {i: object() for i in range(10**5)},
    ):
        payload = encode(value, JsonCodec(max_bytes=100))
        text = decode(payload, {})
        assert payload.lossy
        assert isinstance(text, str)
        assert 0 < len(text) <= 2000
        assert text.isprintable()
        assert "s3cret" not in text


class Own:
    """Somebody else's codec, which does what no codec should."""

    name = "own/1"

    def encode(self, value: object) -> bytes:
        if value == "text":
            return "text"  # type: ignore[return-value]
        raise LookupError("s3cret")

    def decode(self, data: bytes) -> object:
        raise LookupError("s3cret")


def test_a_codec_that_breaks_its_promise_loses_no_result() -> None:
    assert encode("value", Own()).lossy
    assert encode("text", Own()).lossy
    for value in ("value", "text"):
        with pytest.raises(NotStorable) as written:
            encode(value, Own(), fallback=False)
        assert "s3cret" not in str(written.value)
    with pytest.raises(UnreadablePayload) as read:
        decode(Payload(codec="own/1", data=b""), {"own/1": Own()})
    assert "s3cret" not in str(read.value)


def test_an_unknown_codec_is_refused_and_named() -> None:
    with pytest.raises(UnreadablePayload, match=r"'pickle/1'.*tagged-json/1"):
        decode(Payload(codec="pickle/1", data=b"n"), {})


def test_a_given_codec_comes_before_the_built_in_one() -> None:
    codec = JsonCodec([dataclass_type(Point)])
    payload = encode(Point(1), codec)
    assert decode(payload, {codec.name: codec}) == Point(1)
    with pytest.raises(UnreadablePayload):
        decode(payload, {})
