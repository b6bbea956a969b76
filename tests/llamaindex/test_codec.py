"""Outputs of tools through bytes and back."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from llama_index.core.base.llms import types as blocks
from llama_index.core.tools import ToolOutput
from pydantic import BaseModel

from toolslot import InvalidSetting, JsonCodec, NotStorable, TypeCodec, UnreadablePayload
from toolslot_llamaindex import LlamaIndexCodec
from toolslot_llamaindex._codec import Answer, RecordedError
from toolslot_llamaindex._edits import Edit


class Model(BaseModel):
    n: int


@dataclass
class Record:
    n: int


class Colour(Enum):
    RED = 1


class Odd:
    """Nothing knows how to store it."""

    def __str__(self) -> str:
        return "odd"


def through(codec: LlamaIndexCodec, **fields: Any) -> Answer:
    fields.setdefault("content", "said")
    output = ToolOutput(
        **{"tool_name": "t", "raw_input": {"kwargs": {"a": 1}}, "raw_output": "said", **fields}
    )
    answer = codec.decode(codec.encode(Answer(output=output, asked={"a": 1, "b": [None, "x"]})))
    assert isinstance(answer, Answer)
    return answer


def every_block() -> list[Any]:
    made: dict[str, Any] = {
        "TextBlock": {"text": "hello"},
        "ImageBlock": {"image": b"\x89PNG\r\n\x1a\n binary \xff"},
        "AudioBlock": {"audio": b"RIFF\xff", "format": "wav"},
        "VideoBlock": {"video": b"\x00\x00\xff"},
        "DocumentBlock": {"data": b"%PDF-\xff", "title": "d", "document_mimetype": "application/pdf"},
        "CachePoint": {"cache_control": {"type": "ephemeral"}},
        "ThinkingBlock": {"content": "hm"},
        "ToolCallBlock": {"tool_name": "t", "tool_kwargs": {"a": 1}, "tool_call_id": "c"},
    }
    text = blocks.TextBlock(text="cited")
    made["CitableBlock"] = {"title": "t", "source": "s", "content": [text]}
    made["CitationBlock"] = {
        "cited_content": text,
        "source": "s",
        "title": "t",
        "additional_location_info": {"page": 1},
    }
    return [getattr(blocks, name)(**fields) for name, fields in made.items() if hasattr(blocks, name)]


@pytest.mark.parametrize("block", every_block(), ids=lambda block: type(block).__name__)
def test_every_content_block_comes_back_equal(block: Any) -> None:
    try:
        block.model_dump_json()
    except ValueError:
        pytest.skip("this LlamaIndex cannot write such a block itself; its text is kept")
    (back,) = through(LlamaIndexCodec(), content=None, blocks=[block]).output.blocks
    assert type(back) is type(block)
    assert back == block


@pytest.mark.parametrize(
    "raw", [None, 1, 1.5, "text", b"\xff\x00", [1, {"a": (2, {3})}], {"n": float("inf")}], ids=repr
)
def test_json_like_raw_output_comes_back_exactly(raw: Any) -> None:
    back = through(LlamaIndexCodec(), raw_output=raw).output.raw_output
    assert (back, type(back)) == (raw, type(raw))


@pytest.mark.parametrize("raw", [Model(n=1), Record(n=2), Colour.RED], ids=lambda raw: type(raw).__name__)
def test_an_allowed_class_comes_back_and_another_is_kept_as_text_with_a_warning(
    raw: Any, caplog: Any
) -> None:
    assert through(LlamaIndexCodec([type(raw)]), raw_output=raw).output.raw_output == raw
    assert not caplog.records
    assert through(LlamaIndexCodec(), raw_output=raw).output.raw_output == str(raw)
    assert "raw_output_lossy" in caplog.text
    assert f"Name {__name__}.{type(raw).__name__} in allowed_types=" in caplog.text


CHANGED = type("Model", (BaseModel,), {"__module__": __name__, "__annotations__": {"other": int}})


@pytest.mark.parametrize("now", [[], [CHANGED]], ids=["removed", "changed"])
def test_a_raw_output_whose_class_a_deploy_has_removed_or_changed_becomes_the_text_with_a_warning(
    now: Any, caplog: Any
) -> None:
    output = ToolOutput(content="said", tool_name="t", raw_input={}, raw_output=[Model(n=1)])
    stored = LlamaIndexCodec([Model]).encode(Answer(output=output))
    back = LlamaIndexCodec(now)
    for _ in range(2):
        answer = back.decode(stored)
        assert isinstance(answer, Answer)
        assert (answer.output.content, answer.output.raw_output) == ("said", "said")
    assert caplog.text.count("raw_output_lossy") == 1


def test_a_raw_output_whose_own_codec_is_not_given_any_more_becomes_the_text(caplog: Any) -> None:
    output = ToolOutput(content="said", tool_name="t", raw_input={}, raw_output=1)
    stored = LlamaIndexCodec(raw=JsonCodec()).encode(Answer(output=output))
    answer = LlamaIndexCodec().decode(stored)
    assert isinstance(answer, Answer)
    assert answer.output.raw_output == "said"
    assert "ToolPolicy(codec=...)" in caplog.text


def test_a_content_block_that_cannot_be_made_again_stops_the_replay() -> None:
    block = blocks.TextBlock(text="said")
    block.__dict__["text"] = Model(n=1)  # what the model sees holds an object of a class that is not allowed
    output = ToolOutput(blocks=[block], tool_name="t", raw_input={}, raw_output="said")
    stored = LlamaIndexCodec([Model]).encode(Answer(output=output))
    with pytest.raises(UnreadablePayload, match="allowed_types"):
        LlamaIndexCodec().decode(stored)


def test_for_an_object_that_no_class_makes_storable_the_remedy_is_a_codec(caplog: Any) -> None:
    through(LlamaIndexCodec(), raw_output=[Odd()])
    assert f"Give a TypeCodec for {__name__}.Odd in allowed_types=" in caplog.text


def test_what_the_model_sees_is_kept_whatever_the_raw_output_is() -> None:
    answer = through(LlamaIndexCodec(), raw_output=Odd(), raw_input={"a": 1, "partial": Odd()})
    assert answer.output.content == "said"
    assert answer.output.raw_output == "odd"
    assert answer.output.raw_input == {"a": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"args": (), "kwargs": {"a": 1, "b": [None, "x"]}},
        {"a": 1, "b": [None, "x"]},
        {"kwargs": {"a": 1}, "a": 1},
        {},
    ],
)
def test_the_arguments_of_the_model_come_back_as_they_were(given: Any) -> None:
    back = through(LlamaIndexCodec(), raw_input=given).output.raw_input
    assert back == {key: value for key, value in given.items() if key != "kwargs" or "args" in given}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"args": ("secret",), "kwargs": {"a": 1}}, {"args": (), "kwargs": {"a": 1}}),
        ({"args": (), "kwargs": {"a": 1, "token": "secret"}}, {"args": (), "kwargs": {"a": 1}}),
        ({"a": 1, "token": "secret"}, {"a": 1}),
        ({"a": "secret"}, {"a": 1}),
        ({"request": {"a": 1, "token": "secret"}}, {}),
        ({"args": Odd(), "kwargs": "secret"}, {}),
    ],
)
def test_nothing_that_the_program_gave_a_tool_is_stored(given: Any, kept: Any) -> None:
    codec = LlamaIndexCodec()
    output = ToolOutput(tool_name="t", content="x", raw_input=given, raw_output=None)
    stored = codec.encode(Answer(output=output, asked={"a": 1}))
    assert b"secret" not in stored
    assert b64encode(b"secret")[:-2] not in stored
    answer = codec.decode(stored)
    assert isinstance(answer, Answer)
    assert answer.output.raw_input == kept


def test_a_tools_own_codec_comes_first() -> None:
    class Own:
        name = "own/1"

        def encode(self, value: object) -> bytes:
            if not isinstance(value, Odd):
                raise NotStorable
            return b"odd"

        def decode(self, data: bytes) -> object:
            return Odd()

    codec = LlamaIndexCodec().for_tool(Own())
    assert isinstance(through(codec, raw_output=Odd()).output.raw_output, Odd)
    assert through(codec, raw_output=3).output.raw_output == 3


def test_an_exception_comes_back_as_a_stand_in_with_its_name_and_text() -> None:
    back = through(LlamaIndexCodec(), is_error=True, exception=KeyError("x")).output
    assert back.is_error
    assert isinstance(back.exception, RecordedError)
    assert (back.exception.error_type, str(back.exception)) == ("builtins.KeyError", "'x'")


def test_changes_of_the_state_and_return_direct_come_back() -> None:
    codec = LlamaIndexCodec()
    edits = (
        Edit(number=3, key="a", change=["d", {"b": ["=", b"n"], 1: ["+", 2]}], before=b"b", after=b"a"),
        Edit(number=4, key="c", change=["l", 0, [b"x"], [b"n", [b"n"]], 2, {0: ["-"]}], exact=["~"]),
        Edit(number=5, key=None, change=["x"]),
    )
    output = ToolOutput(tool_name="t", content="x", raw_input={}, raw_output=None)
    answer = codec.decode(codec.encode(Answer(output=output, return_direct=True, edits=edits)))
    assert isinstance(answer, Answer)
    assert (answer.return_direct, answer.edits) == (True, edits)


def test_a_decided_value_comes_back_as_it_was_given() -> None:
    codec = LlamaIndexCodec()
    assert codec.decode(codec.encode({"paid": 3})) == {"paid": 3}


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"v":2}', b'{"v":1,"plain":"!"}', b"\xff"], ids=repr)
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadablePayload):
        LlamaIndexCodec().decode(data)


def test_an_allowed_type_that_cannot_be_stored_by_its_fields_is_refused_where_it_is_given() -> None:
    with pytest.raises(InvalidSetting, match="TypeCodec"):
        LlamaIndexCodec([Odd])
    own = TypeCodec(name="odd", cls=Odd, dump=lambda _: None, load=lambda _: Odd(), same=lambda a, b: True)
    assert isinstance(through(LlamaIndexCodec([own]), raw_output=Odd()).output.raw_output, Odd)
