"""The values that agents, tools and states are made of, as tagged JSON. What may be made again is listed here, never imported by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from enum import Enum
from typing import Any, TypeAlias, cast

from llama_index.core.agent.react.types import (
    ActionReasoningStep,
    ObservationReasoningStep,
    ResponseReasoningStep,
)
from llama_index.core.base.llms import types as blocks
from llama_index.core.base.response.schema import Response
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from llama_index.core.tools import ToolOutput, ToolSelection
from pydantic import BaseModel

from toolslot import InvalidSetting, JsonCodec, TypeCodec, dataclass_type, enum_type, pydantic_type

#: a class (a pydantic model, dataclass or enum), or how to store one
AllowedType: TypeAlias = "type | TypeCodec[Any]"

_BLOCKS = (
    "AudioBlock",
    "CachePoint",
    "CitableBlock",
    "CitationBlock",
    "DocumentBlock",
    "ImageBlock",
    "TextBlock",
    "ThinkingBlock",
    "ToolCallBlock",
    "VideoBlock",
)

_MODELS: tuple[type[BaseModel], ...] = (
    ActionReasoningStep,
    ChatMessage,
    ObservationReasoningStep,
    ResponseReasoningStep,
    ToolSelection,
    # those this version has
    *(cls for name in _BLOCKS if isinstance(cls := getattr(blocks, name, None), type)),
)

_NODES: tuple[type[BaseNode], ...] = (Document, ImageDocument, ImageNode, IndexNode, Node, TextNode)


def value_codec(allowed: Iterable[AllowedType] = ()) -> JsonCodec:
    """Stores JSON-like values exactly, what LlamaIndex's agents and query engines are made of, and the classes in `allowed`.

    Raises:
        InvalidSetting: an item of `allowed` is no class that can be stored by its fields.
    """
    known: dict[type, TypeCodec[Any]] = {
        cls: pydantic_type(cls, f"llama_index.{cls.__name__}") for cls in _MODELS
    }
    known |= {cls: _node(cls) for cls in _NODES}
    known[NodeWithScore] = TypeCodec(
        name="llama_index.NodeWithScore",
        cls=NodeWithScore,
        dump=lambda found: [found.node, found.score],
        load=lambda data: NodeWithScore(node=data[0], score=data[1]),
    )
    known[Response] = dataclass_type(Response, "llama_index.Response")
    known[QueryBundle] = dataclass_type(QueryBundle, "llama_index.QueryBundle")
    known[ToolOutput] = TypeCodec(
        name="llama_index.ToolOutput", cls=ToolOutput, dump=_dump_output, load=_load_output
    )
    for item in allowed:
        codec = item if isinstance(item, TypeCodec) else _codec_for(item)
        known[codec.cls] = codec
    return JsonCodec(types=tuple(known.values()))


def _node(cls: type[BaseNode]) -> TypeCodec[Any]:
    def dump(node: Any) -> object:
        return node.model_dump(mode="json", by_alias=True, round_trip=True)

    return TypeCodec(name=f"llama_index.{cls.__name__}", cls=cls, dump=dump, load=cls.model_validate)


def _dump_output(output: ToolOutput) -> object:
    return {
        "blocks": list(output.blocks),
        "tool_name": output.tool_name,
        "raw_input": dict(output.raw_input),
        "raw_output": output.raw_output,
        "is_error": output.is_error,
    }


def _load_output(data: Any) -> ToolOutput:
    return ToolOutput(**data)


def _codec_for(cls: object) -> TypeCodec[Any]:
    if isinstance(cls, type):
        cls = cast("type[Any]", cls)
        name = f"{cls.__module__}.{cls.__qualname__}"
        if issubclass(cls, Enum):
            return enum_type(cls, name)
        if issubclass(cls, BaseModel):
            return pydantic_type(cls, name)
        if dataclasses.is_dataclass(cls):
            return dataclass_type(cls, name)
    raise InvalidSetting(
        f"allowed_types: {cls!r} is no pydantic model, dataclass or enum, so nobody here knows how to make it again. Give a"
        " TypeCodec(name=, cls=, dump=, load=) instead."
    )
