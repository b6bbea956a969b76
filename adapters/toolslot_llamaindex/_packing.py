"""Bytes inside of JSON, and JSON as bytes: how records are written. Pure."""

from __future__ import annotations

import base64
import json


def json_bytes(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def text_of(data: bytes) -> str:
    """Bytes as a text that JSON can hold."""
    return base64.b64encode(data).decode()


def bytes_of(text: str) -> bytes:
    """The bytes again; raises `ValueError` where the text is no such one."""
    return base64.b64decode(text, validate=True)
