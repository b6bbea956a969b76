"""JSON as rows hold it: in place when small, in chunk rows when large.

Chunks are committed before the row that refers to them, a few at a time, so that no commit holds the lock for long. They
are named by their content: what a killed process left behind is found and used by the next one that writes the same value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeAlias, cast

from toolslot._codec._nesting import nesting_exceeds, weight_exceeds
from toolslot._errors import JournalCorrupt, NotStorable
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._table import Reader
from toolslot.journal._format._fields import Fields
from toolslot.journal._queue._store import Chunks

#: bodies up to this size stand in their row; larger ones in chunks of this size
CHUNK = 256 * 2**10

#: of one row, by the measure of `weight_exceeds`: about 300,000 calls. What a value holds stands in a text, which is one part.
_MOST_PARTS = 8 * 2**20
#: rows are flat; this only keeps the parser from using up the stack
_DEEPEST = 5000

_DIGEST = re.compile(r"[0-9a-f]{32}").fullmatch

_encode: Callable[[object], str] = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False
).encode
_decoder = json.JSONDecoder()


def dumps(data: object) -> bytes:
    """Compact JSON. Any text survives, lone surrogates and pairs of them included."""
    return _encode(data).encode("utf-8", "surrogatepass")


#: JSON to be written into a row, or a reference; and the chunks that it refers to, which are rows of their own
Encoded: TypeAlias = tuple[bytes, Chunks]


def encode(near: str, body: bytes, *, in_place: int = CHUNK) -> Encoded:
    """JSON for a row whose key is `near`, in place up to so many bytes."""
    if weight_exceeds(body, _MOST_PARTS):
        raise NotStorable(
            "a batch has too many calls to be read again. Split it. Nothing was recorded of it."
        )
    if len(body) <= in_place:
        return body, ()
    digest = blake2b(body, digest_size=16).hexdigest()
    count = -(-len(body) // CHUNK)
    chunks = tuple((keys.chunk(near, digest, n), body[n * CHUNK : (n + 1) * CHUNK]) for n in range(count))
    return dumps({"chunks": {"digest": digest, "count": count, "size": len(body)}}), chunks


def parse(body: bytes) -> object:
    """A row's JSON, with references left as they are."""
    # Reading a batch spends its time here. A short row cannot have so many parts; one that was written here has nothing around its value.
    if len(body) > _DEEPEST and (weight_exceeds(body, _MOST_PARTS) or nesting_exceeds(body, _DEEPEST)):
        raise JournalCorrupt("a row has more parts, or is nested deeper, than anything that toolslot writes.")
    try:
        text = body.decode("utf-8", "surrogatepass")
        if text[:1] in ("{", "["):
            parsed, end = _decoder.raw_decode(text)
            if end == len(text):
                return cast("object", parsed)
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JournalCorrupt(f"a row is not JSON: {error}") from error
    return cast("object", parsed)


def resolve(reader: Reader, near: str, data: object, seen: set[str] | None = None) -> object:
    """What was given to `encode`: `data` itself, or what its chunks hold. No two rows of a batch are equal, so with `seen` a second
    reference to the same chunks is refused: a thousand of them would make a gigabyte of a megabyte.

    Raises:
        JournalCorrupt: chunks are missing or damaged.
    """
    if not isinstance(data, dict) or "chunks" not in data:
        return cast("object", data)
    outer = Fields(cast("object", data), "reference")
    fields = Fields(outer.take("chunks"), "reference")
    digest, count, size = fields.text("digest"), fields.integer("count"), fields.integer("size")
    fields.done()
    outer.done()
    if not _DIGEST(digest):  # it becomes part of a key
        raise JournalCorrupt("a reference to a large value has no digest.")
    if seen is not None and digest in seen:
        raise JournalCorrupt("two rows refer to the same large value.")
    if seen is not None:
        seen.add(digest)
    if count != -(-size // CHUNK):
        raise JournalCorrupt(f"a reference to a large value of {size} bytes names {count} parts.")
    body = b"".join(_chunk(reader, keys.chunk(near, digest, number)) for number in range(count))
    if len(body) != size or blake2b(body, digest_size=16).hexdigest() != digest:
        raise JournalCorrupt(f"the parts of a large value do not make up the {size} bytes that were written.")
    return parse(body)


def _chunk(reader: Reader, key: str) -> bytes:
    part = reader.get(key)
    if part is None:
        raise JournalCorrupt(f"part {key!r} of a large value is missing.")
    return part
