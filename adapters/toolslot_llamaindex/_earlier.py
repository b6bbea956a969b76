"""Values as earlier versions wrote them, which are still read: what may be made again is listed here, never imported by name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

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
from llama_index.core.tools import ToolSelection
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from toolslot import JsonCodec, TypeCodec, dataclass_type, enum_type, pydantic_type
from toolslot_llamaindex._known import OWN, AllowedType

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


def earlier_codec(allowed: Iterable[AllowedType]) -> JsonCodec:
    """Reads JSON-like values exactly, what LlamaIndex's agents and query engines are made of, and the classes in `allowed`."""
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
    known |= OWN
    for item in allowed:
        codec = item if isinstance(item, TypeCodec) else _codec_for(item)
        if codec is not None:
            known[codec.cls] = codec
    return JsonCodec(types=tuple(known.values()))


def _node(cls: type[BaseNode]) -> TypeCodec[Any]:
    def dump(node: Any) -> object:
        return node.model_dump(mode="json", by_alias=True, round_trip=True)

    return TypeCodec(name=f"llama_index.{cls.__name__}", cls=cls, dump=dump, load=cls.model_validate)


def _codec_for(cls: type[Any]) -> TypeCodec[Any] | None:
    name = f"{cls.__module__}.{cls.__qualname__}"
    if issubclass(cls, Enum):
        return enum_type(cls, name)
    if issubclass(cls, BaseModel):
        return pydantic_type(cls, name)
    return dataclass_type(cls, name) if dataclasses.is_dataclass(cls) else None


def earlier_question_of(user_msg: object, chat_history: Sequence[ChatMessage] | None) -> str:
    """The digest of what an agent is asked that earlier versions recorded."""
    message = ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg
    plain: object = to_jsonable_python(
        [message, *(chat_history or ())], fallback=str, bytes_mode="base64", inf_nan_mode="constants"
    )
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
