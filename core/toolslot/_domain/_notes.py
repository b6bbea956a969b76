"""Notes of running calls, as they are stored: a text, and a reference such as an id that a provider gave."""

from __future__ import annotations

from toolslot._codec import JsonCodec, Payload, decode, encode
from toolslot._domain._slot import Noted
from toolslot._domain._view import NoteView, utc
from toolslot._errors import UnreadablePayload

#: characters of a text and of a reference
_LONGEST_TEXT, _LONGEST_REF = 2000, 500

_CODEC = JsonCodec()


def encode_note(text: str, ref: str) -> Payload:
    """What is longer is cut: a tool must not fail for its note."""
    return encode([_cut(text, _LONGEST_TEXT), _cut(ref, _LONGEST_REF)], _CODEC)


def note_view(row: Noted) -> NoteView:
    """The note as people see it; one that cannot be read says why."""
    at = utc(row.at)
    assert at is not None
    try:
        match decode(row.note, {_CODEC.name: _CODEC}):
            case [str(text), str(ref)]:
                return NoteView(at=at, attempt=row.attempt, text=text, ref=ref)
            case _:
                return NoteView(at=at, attempt=row.attempt, text="(damaged)")
    except UnreadablePayload as error:
        return NoteView(at=at, attempt=row.attempt, text=f"({error})")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
