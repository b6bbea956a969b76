"""The envelope of every stored value: damage, truncation and a row moved to another key are noticed on reading.

Layout: one version byte, the CRC-32 of key and body (big-endian), the body.
"""

from __future__ import annotations

import zlib

from toolslot._errors import JournalCorrupt

_VERSION = b"\x01"
_HEAD = 5


def seal(key: str, body: bytes) -> bytes:
    """`body` as it is stored under `key`."""
    return _VERSION + zlib.crc32(body, zlib.crc32(key.encode())).to_bytes(4, "big") + body


def unseal(key: str, value: object) -> bytes:
    """The body that was sealed under `key`.

    Raises:
        JournalCorrupt: the value is not what was written under this key.
    """
    if not isinstance(value, bytes) or len(value) < _HEAD:
        raise JournalCorrupt(f"the journal's row {key!r} is cut short or not a journal value. {_KEPT}")
    if value[:1] != _VERSION:
        raise JournalCorrupt(
            f"the journal's row {key!r} has envelope version {value[0]}; this one reads 1. {_KEPT}"
        )
    body = value[_HEAD:]
    if value[1:_HEAD] != _checksum(key, body):
        raise JournalCorrupt(
            f"the checksum of the journal's row {key!r} does not match: it was damaged, or moved from another row. {_KEPT}"
        )
    return body


_KEPT = "Nothing was changed; `toolslot doctor` tells what else is damaged."


def _checksum(key: str, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(key.encode())).to_bytes(4, "big")
