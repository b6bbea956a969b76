"""What a codec is, and what it leaves in the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

#: of lossy payloads: the `repr` of the value; no codec of this name can be given
REPR = "repr/1"

#: of payloads whose key is not at hand; no codec of this name can be given
HIDDEN = "encrypted/1"


class Codec(Protocol):
    """Turns a value into bytes and the bytes into the same value. Called from any thread."""

    @property
    def name(self) -> str:
        """Stored beside the bytes, with the version of the format in it. A reader that does not know the name refuses to read."""
        ...

    def encode(self, value: object) -> bytes:
        """The bytes that `decode` turns into the same value: same types, same contents.

        Raises:
            NotStorable: this codec cannot write the value. Nothing else is raised.
        """
        ...

    def decode(self, data: bytes) -> object:
        """The value, as a new object at each call.

        Raises:
            UnreadablePayload: the bytes are damaged or not of this codec. Nothing else is raised.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """An encoded value. `lossy` means that `data` is only a text about a value which no codec could write."""

    codec: str
    data: bytes
    lossy: bool = False

    @property
    def described(self) -> bool:
        """Whether `data` is the value's `repr`, for people; else, if lossy, it is what its codec keeps in the value's place."""
        return self.lossy and self.codec == REPR

    def __repr__(self) -> str:
        # The value may be a secret, and reprs end up in logs.
        return f"<Payload {self.codec} {len(self.data)} bytes{' lossy' if self.lossy else ''}>"
