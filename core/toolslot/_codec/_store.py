"""Between values and payloads: which codec's bytes these are, and what is kept of a value that none can write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from toolslot._codec._content import Content, ContentCodec
from toolslot._codec._json import JsonCodec
from toolslot._codec._payload import HIDDEN, REPR, Codec, Payload
from toolslot._codec._text import bounded_repr, lines, one_line, qualified_name
from toolslot._errors import NotStorable, UnreadablePayload

#: of lossy payloads: the text that a codec keeps in the place of a value; no codec of this name can be given
TEXT = "text/1"

#: longest text kept for a codec, in characters
MAX_TEXT = 2**20

_PLAIN, _CONTENT = JsonCodec(), ContentCodec()
#: codecs that every reader has
_BUILT_IN: Mapping[str, Codec] = {_PLAIN.name: _PLAIN, _CONTENT.name: _CONTENT}


def encode(value: object, codec: Codec, *, fallback: bool = True) -> Payload:
    """The value as `codec` writes it; or with `fallback`, as a lossy payload, the text that the codec would rather keep of it
    (`NotStorable.text`) or else its `repr` (one line, at most 2000 characters).

    With `fallback` this never raises: the tool has run, so something must be recorded.

    Raises:
        NotStorable: without `fallback`: the codec cannot write the value, or raised something that a codec must not.
    """
    try:
        data = cast("object", codec.encode(value))
        if not isinstance(data, bytes):
            # Codecs are other people's code; a wrong type would only be found by the journal, too late to keep at least a text.
            raise TypeError("a codec's encode must give bytes")
        return Payload(codec=codec.name, data=data)
    except NotStorable as refused:
        if not fallback:
            raise
        if refused.text is not None:
            return Payload(codec=TEXT, data=lines(refused.text, MAX_TEXT).encode(), lossy=True)
    except Exception as error:
        if not fallback:
            raise NotStorable(
                f"a value of type {qualified_name(type(value))} cannot be stored: the codec {qualified_name(type(codec))} raised"
                f" {type(error).__name__}."
            ) from None
    return as_text(value)


def encode_content(content: Content) -> Payload:
    """Without its artifact where that cannot be written; as text where the content cannot be either."""
    whole = encode(content, _CONTENT)
    return encode(replace(content, artifact=None), _CONTENT) if whole.lossy else whole


def as_text(value: object) -> Payload:
    """What is left of a value that could not be stored: its `repr`, one line of at most 2000 characters."""
    return Payload(codec=REPR, data=bounded_repr(value).encode(), lossy=True)


def decode(payload: Payload, codecs: Mapping[str, Codec]) -> object:
    """The value; of a lossy payload the text about it.

    `codecs` are by name and come before the built-in ones; text, `JsonCodec()` and `Content` are always known.

    Raises:
        UnreadablePayload: no codec has the payload's name, or its codec cannot read the data.
    """
    if payload.codec in (TEXT, REPR):
        return _text(payload.data)
    if payload.codec == HIDDEN:
        raise UnreadablePayload(
            "a stored value is encrypted, and the journal was opened without its key. Open it with encryption=, or set TOOLSLOT_KEY."
        )
    codec = codecs.get(payload.codec) or _BUILT_IN.get(payload.codec)
    if codec is None:
        known = ", ".join(sorted({*codecs, TEXT, REPR, *_BUILT_IN}))
        raise UnreadablePayload(
            f"a stored value was written by the codec {one_line(payload.codec, 60)!r}, which this reader does not have (it has {known})."
            " Give it to the executor or to the tool's policy."
        )
    try:
        return codec.decode(payload.data)
    except UnreadablePayload:
        raise
    except Exception as error:
        raise UnreadablePayload(
            f"a stored value could not be read: the codec {one_line(payload.codec, 60)!r} raised {type(error).__name__}."
        ) from None


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UnreadablePayload("a stored text is damaged: it is not UTF-8.") from None
