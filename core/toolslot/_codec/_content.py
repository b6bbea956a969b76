"""What a tool's result says, whichever host has run the tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

from toolslot._codec._json import JsonCodec
from toolslot._errors import UnreadablePayload

_JSON = JsonCodec()


@dataclass(frozen=True, slots=True)
class Content:
    """`content` is a text, or blocks as plain JSON; `artifact` what came with it for the program and not for the model. `error`: whether it
    tells of a failure.
    """

    content: object
    artifact: object = None
    error: bool = False


class Contents(Protocol):
    """What a host brings along so that a result of its own can be handed out by another host, or in another run."""

    def to_content(self, value: object) -> Content | None:
        """What the host's answer says; None where the value is no answer of the host's."""
        ...

    def from_content(self, content: Content) -> object:
        """An answer, or a value of which the host makes one."""
        ...


class ContentCodec:
    """Content as tagged JSON."""

    name = "content/1"

    def encode(self, value: object) -> bytes:
        """Raises `NotStorable` where the content, or the artifact, cannot be written."""
        assert isinstance(value, Content), "it writes nothing else"
        return _JSON.encode([value.content, value.artifact, value.error])

    def decode(self, data: bytes) -> Content:
        """Raises `UnreadablePayload` for what it did not write."""
        found = _JSON.decode(data)
        parts = cast("list[object]", found) if isinstance(found, list) else []
        if len(parts) != 3 or not isinstance(parts[2], bool):
            raise UnreadablePayload("a stored content of a result is damaged.")
        return Content(parts[0], parts[1], parts[2])
