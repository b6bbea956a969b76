"""How values become bytes in a journal, and how the same values come back."""

from __future__ import annotations

from toolslot._codec._content import Content, Contents
from toolslot._codec._error import ErrorRecord, encode_error
from toolslot._codec._json import JsonCodec
from toolslot._codec._nesting import CONTAINER, MAX_WEIGHT, weight_exceeds
from toolslot._codec._payload import HIDDEN, Codec, Payload
from toolslot._codec._store import as_text, decode, encode, encode_content
from toolslot._codec._tree import MAX_DEPTH
from toolslot._codec._types import TypeCodec, dataclass_type, enum_type, pydantic_type

__all__ = [
    "CONTAINER",
    "HIDDEN",
    "MAX_DEPTH",
    "MAX_WEIGHT",
    "Codec",
    "Content",
    "Contents",
    "ErrorRecord",
    "JsonCodec",
    "Payload",
    "TypeCodec",
    "as_text",
    "dataclass_type",
    "decode",
    "encode",
    "encode_content",
    "encode_error",
    "enum_type",
    "pydantic_type",
    "weight_exceeds",
]
