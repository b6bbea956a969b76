"""Keys for a journal's payloads, and the cipher made of them: AES-256-GCM with a random nonce for every value."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from toolslot._errors import InvalidSetting

#: the environment variable that `open_journal` looks at
VARIABLE = "TOOLSLOT_KEY"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_INSTALL = 'pip install "toolslot[encryption]"'

Keys: TypeAlias = Sequence[bytes]


class NotAuthentic(Exception):
    """The bytes were not encrypted under this key for this place, or were changed."""


class Cipher:
    """The keys of one journal, ready for use. Thread-safe."""

    def __init__(self, keys: Keys) -> None:
        aead = _aead()
        self._by_id: Mapping[str, _Aead] = {key_id(key): aead(key) for key in keys}
        #: the key that encrypts
        self.current: str = key_id(keys[0])

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(self._by_id)

    def knows(self, key: str) -> bool:
        return key in self._by_id

    def encrypt(self, data: bytes, place: bytes) -> bytes:
        """`data` under the current key, to be read at `place` only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._by_id[self.current].encrypt(nonce, data, place)

    def decrypt(self, key: str, data: bytes, place: bytes) -> bytes:
        """What was encrypted under the key of that id.

        Raises:
            NotAuthentic: it was not, or not for this place, or it was changed.
        """
        try:
            return self._by_id[key].decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], place)
        except Exception as error:  # InvalidTag, or too short
            raise NotAuthentic from error


class Encryption:
    """Encrypts arguments, results, errors and other payloads of a journal: `encryption=Encryption([key])` where it is opened.

    Tool names, ids, times and states stay readable; SECURITY.md lists what is hidden and what is not. Needs the extra `encryption`.

    To change the key, give the new one first and the old ones after it: the first encrypts, all decrypt. An old key is needed until the
    runs recorded under it are purged; `toolslot doctor` counts what is left under each.

    Args:
        keys: Keys of 32 random bytes, or a function that returns them, called whenever the journal is opened (in a forked child too).
    """

    def __init__(self, keys: Keys | Callable[[], Keys]) -> None:
        self._keys = keys
        if not callable(keys):
            _checked(keys)

    @classmethod
    def from_environment(cls, variable: str = VARIABLE) -> Encryption:
        """The keys in an environment variable: each as `new_key` gives it, separated by commas; read whenever the journal is opened.

        Raises:
            InvalidSetting: the variable is not set, or holds something else.
        """

        def read() -> Keys:
            text = os.environ.get(variable, "")
            if not text.strip():
                raise InvalidSetting(
                    f"the environment variable {variable} holds no key. Make one with"
                    ' python -c "import toolslot; print(toolslot.Encryption.new_key())" and keep it outside of the journal.'
                )
            return [_from_text(part, variable) for part in text.split(",")]

        _checked(read())
        return cls(read)

    @staticmethod
    def new_key() -> str:
        """A new random key as text (URL-safe base64), for an environment variable or a vault. Without it the payloads are lost."""
        return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode("ascii")

    def cipher(self) -> Cipher:
        """The keys as they are now.

        Raises:
            InvalidSetting: they are no keys, or the extra is not installed.
        """
        keys = self._keys() if callable(self._keys) else self._keys
        _checked(keys)
        return Cipher(keys)

    def __repr__(self) -> str:
        return "<Encryption>"  # never a key


def key_id(key: bytes) -> str:
    """The name of a key, stored beside what it encrypted. Says nothing about a random key."""
    return hashlib.sha256(b"toolslot-key-id/1|" + key).hexdigest()[:16]


def key_ids(encryption: Encryption | None) -> tuple[str, ...]:
    """The names of its keys, the one that encrypts first."""
    return () if encryption is None else encryption.cipher().key_ids


def _checked(keys: Keys) -> None:
    if isinstance(keys, (bytes, str)) or not keys:
        raise InvalidSetting("Encryption(keys=...): give a list of keys, the one that encrypts first.")
    for key in keys:
        if not isinstance(key, bytes) or len(key) != _KEY_BYTES:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidSetting(
                f"Encryption(keys=...): a key is {_KEY_BYTES} random bytes, and one of these is something else. A password is no key;"
                " Encryption.new_key() makes one."
            )


def _from_text(text: str, variable: str) -> bytes:
    try:
        return base64.b64decode(text.strip().encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        # Not even its length: it may be a key with a typing error.
        raise InvalidSetting(
            f"the environment variable {variable} holds something that is no key: each is {_KEY_BYTES} bytes in URL-safe base64, as"
            " Encryption.new_key() gives them, and they are separated by commas."
        ) from None


class _Aead(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes: ...


def _aead() -> Callable[[bytes], _Aead]:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ModuleNotFoundError as error:
        raise InvalidSetting(f"encryption needs the package cryptography: {_INSTALL}") from error
    return AESGCM
