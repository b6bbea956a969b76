"""Whether a journal is encrypted, and with which keys it can be read: the row that says so.

It holds the key that digests of arguments are made with: random, made once, never changed, and itself encrypted under the
user's current key. So the right key is told from a wrong one when the journal is opened, before anything is written.
"""

from __future__ import annotations

import base64
import secrets
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from toolslot._errors import JournalCorrupt, JournalKeyMissing
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import dumps, parse
from toolslot.journal._disk._table import Reader, Table, transaction
from toolslot.journal._format._encryption import Cipher, Encryption, NotAuthentic
from toolslot.journal._format._fields import Fields
from toolslot.journal._format._secrecy import Secrecy

_DIGEST_KEY_BYTES = 32


def first_row(encryption: Encryption) -> dict[str, bytes]:
    """The row of a new journal: nothing will ever stand in it that is not encrypted."""
    return {keys.ENCRYPTION: _wrapped(encryption.cipher(), _KeyRow.new(plain=False))}


def secrecy_for_writing(
    table: Table,
    encryption: Encryption | None,
    *,
    connection: sqlite3.Connection,
    place: str,
) -> Secrecy:
    """How the journal hides payloads, for a process that writes. Turns encryption on, or the key over, when the keys ask for it.

    Raises:
        JournalKeyMissing: it is encrypted, and not with these keys.
    """
    stored = table.get(keys.ENCRYPTION)
    if encryption is None:
        if stored is not None:
            raise _missing(place, stored, None)
        return Secrecy()
    cipher = encryption.cipher()
    row = _KeyRow.new(plain=True) if stored is None else _unwrapped(stored, cipher, place)
    if stored is None or key_of(stored) != cipher.current:
        # Dies here: the next opener finds the row as it was, or as it is now. Either key opens it.
        with transaction(connection):
            table.put(keys.ENCRYPTION, _wrapped(cipher, row))
    return Secrecy(cipher, row.scope, digest_key=row.digest_key, plain=row.plain)


def secrecy_for_reading(reader: Reader, encryption: Encryption | None, *, place: str) -> Secrecy:
    """For a process that only reads: what its keys do not open stays hidden, and states can be seen all the same."""
    stored = reader.get(keys.ENCRYPTION)
    if stored is None:
        return Secrecy(lenient=True)  # it may be turned on while we look
    cipher = None if encryption is None else encryption.cipher()
    if cipher is None or not cipher.knows(key_of(stored)):
        return Secrecy(cipher, Fields(parse(stored), "encryption row").text("scope"), lenient=True)
    row = _unwrapped(stored, cipher, place)
    return Secrecy(cipher, row.scope, digest_key=row.digest_key, plain=row.plain, lenient=True)


def key_of(stored: bytes) -> str:
    """The id of the key that opens the journal."""
    return Fields(parse(stored), "encryption row").text("key")


def notes_on_keys(reader: Reader) -> Iterator[str]:
    """What `reader` met, by key. Tells whether an old key is still needed."""
    stored = reader.get(keys.ENCRYPTION)
    if stored is None:
        return
    secrecy = reader.secrecy
    yield f"payloads are encrypted, now with key {key_of(stored)[:16]!r}."
    for key, count in sorted(secrecy.seen.items()):
        if not key:
            yield f"{count} values are not encrypted: they were recorded before encryption was turned on."
        elif not secrecy.knows(key):
            yield f"{count} values are encrypted with key {key[:16]!r}, which was not given: they were not checked."
        elif key != key_of(stored):
            yield f"{count} values are encrypted with the older key {key[:16]!r}, which is needed until their runs are purged."


def without_key_row(reader: Reader) -> int:
    """How many values `reader` met that no key opens any more, because the row that says how is gone."""
    if reader.raw(keys.ENCRYPTION) is not None:
        return 0
    return sum(count for key, count in reader.secrecy.seen.items() if key)


@dataclass(frozen=True, kw_only=True, slots=True)
class _KeyRow:
    """What the row holds. `scope` names the journal in what binds a value to its place; a salvaged journal keeps it."""

    scope: str
    digest_key: bytes
    plain: bool

    @classmethod
    def new(cls, *, plain: bool) -> _KeyRow:
        return cls(
            scope=secrets.token_hex(16), digest_key=secrets.token_bytes(_DIGEST_KEY_BYTES), plain=plain
        )


def _wrapped(cipher: Cipher, row: _KeyRow) -> bytes:
    hidden = cipher.encrypt(row.digest_key, _bound(row.scope, row.plain))
    return dumps(
        {
            "key": cipher.current,
            "digest_key": base64.b64encode(hidden).decode("ascii"),
            "scope": row.scope,
            "plain": row.plain,
        }
    )


def _unwrapped(stored: bytes, cipher: Cipher, place: str) -> _KeyRow:
    fields = Fields(parse(stored), "encryption row")
    key, hidden = fields.text("key"), fields.text("digest_key")
    scope, plain = fields.text("scope"), fields.flag("plain")
    fields.done()
    if not cipher.knows(key):
        raise _missing(place, stored, cipher)
    try:
        data = base64.b64decode(hidden, validate=True)
        digest_key = cipher.decrypt(key, data, _bound(scope, plain))
    except (NotAuthentic, ValueError) as error:
        raise JournalCorrupt(
            f"the journal {place}: its row {keys.ENCRYPTION!r} was changed. Nothing was repaired."
        ) from error
    return _KeyRow(scope=scope, digest_key=digest_key, plain=plain)


def _bound(scope: str, plain: bool) -> bytes:
    return f"toolslot-digest-key/1|{scope}|{plain}".encode()


def _missing(place: str, stored: bytes, cipher: Cipher | None) -> JournalKeyMissing:
    given = "no key was given" if cipher is None else f"the keys given are {', '.join(cipher.key_ids)}"
    return JournalKeyMissing(
        f"the journal {place} is encrypted with key {key_of(stored)[:16]!r}, and {given}. Nothing was changed and nothing ran."
        " Give the key: TOOLSLOT_KEY in the environment, or DiskJournal.open(path, encryption=Encryption(...)). `toolslot doctor`"
        " shows states without it."
    )
