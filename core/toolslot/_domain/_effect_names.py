"""The name of an effect: its key, taken from the model's arguments, and the digests that are made of it.

The formats are fixed for ever, as those in `_identity` are.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, cast

from toolslot._domain._identity import args_digest, hash_of

KeyPart: TypeAlias = int | str
#: the name of an argument, several of them, or a function of all arguments that gives an int, a string, or a tuple of them
EffectKey: TypeAlias = str | tuple[str, ...] | Callable[[Mapping[str, object]], object]

#: bits of the longest number that is a key: longer ones have no text
_MOST_BITS = 4096


class EffectMark(NamedTuple):
    """The effect that an attempt has claimed: its digest, and the idempotency key that every call of it sees."""

    digest: str
    idempotency_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedEffect:
    """What a call would do in the world, as its arguments name it. `name` is the tool's, or the one that its policy gives.

    `key` is the canonical text of the key. `compared` is a digest of the other arguments, which must be the same in every call of the
    effect; None where they cannot be compared. `run_id` is given where the scope is one run. `unkeyed`: digest and comparison as an
    encrypted journal has them from the time before it was.
    """

    digest: str
    name: str
    key: str
    compared: str | None
    run_id: str | None = None
    ttl: float | None = None
    unkeyed: tuple[str, str | None] | None = None


@dataclass(frozen=True, slots=True)
class NoKey:
    """The arguments give no key, so the call must not run; `why` is what the model is told."""

    why: str


def name_effect(
    wanted: EffectKey,
    name: str,
    args: Mapping[str, object],
    *,
    ignore: tuple[str, ...] = (),
    run_id: str | None = None,
    ttl: float | None = None,
    digest_key: bytes | None = None,
) -> NamedEffect | NoKey:
    """The effect of a call, from the arguments as the model issued them. `ignore`: arguments that are not compared; the others as in
    `NamedEffect`.
    """
    try:
        parts = _parts(wanted, args)
    except _NoKeyError as error:
        return NoKey(f"{name} was not run: its effect key cannot be made of these arguments: {error}.")
    named: tuple[str, ...] = ()
    if not callable(wanted):
        named = (wanted,) if isinstance(wanted, str) else wanted
    left_out = {*named, *ignore}
    others = {field: value for field, value in args.items() if field not in left_out}
    key = json.dumps(list(parts), separators=(",", ":"))

    def digests(secret: bytes | None) -> tuple[str, str | None]:
        digest = hash_of(b"toolslot-effect/1", _scoped(run_id, name), key.encode(), key=secret)
        return digest, args_digest(name, others, key=secret)

    digest, compared = digests(digest_key)
    return NamedEffect(
        digest=digest,
        name=name,
        key=key,
        compared=compared,
        run_id=run_id,
        ttl=ttl,
        unkeyed=None if digest_key is None else digests(None),
    )


def effect_idempotency_key(journal_id: str, digest: str, forgotten: int) -> str:
    """The same however often the model asks; another one each time that the effect was forgotten.

    It is stored in the clear, so it is made of the digest, from which nobody without the journal's key can guess the arguments.
    """
    return "ts_" + hash_of(b"toolslot-effect-call/1", (journal_id, digest, str(forgotten)), b"")[:40]


def effect_digests(
    name: str, parts: tuple[KeyPart, ...], *, run_id: str | None, digest_key: bytes | None
) -> tuple[str, ...]:
    """Under which digests the effect may be recorded: the journal may have been encrypted since."""
    key = json.dumps([_part(part, "") for part in parts], separators=(",", ":")).encode()
    secrets = (None,) if digest_key is None else (digest_key, None)
    return tuple(hash_of(b"toolslot-effect/1", _scoped(run_id, name), key, key=each) for each in secrets)


class _NoKeyError(Exception):
    pass


def _scoped(run_id: str | None, name: str) -> tuple[str, ...]:
    return (name,) if run_id is None else (name, run_id)


def _parts(wanted: EffectKey, args: Mapping[str, object]) -> tuple[KeyPart, ...]:
    if not callable(wanted):
        names = (wanted,) if isinstance(wanted, str) else wanted
        return tuple(_part(args.get(name), f"{name!r}") for name in names)
    try:
        found = wanted(dict(args))
    except Exception as error:
        raise _NoKeyError(f"the function that makes it raised {type(error).__name__}") from None
    parts = cast("tuple[object, ...]", found) if isinstance(found, tuple) else (found,)
    if not parts:
        raise _NoKeyError("it is empty")
    return tuple(_part(part, f"part {place}") for place, part in enumerate(parts))


def _part(value: object, what: str) -> KeyPart:
    # True is an int to Python and would be the same key as 1.
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _NoKeyError(f"{what} must be an int or a string, and is {type(value).__name__}")
    if isinstance(value, str):
        return unicodedata.normalize("NFC", str(value))
    if value.bit_length() > _MOST_BITS:
        raise _NoKeyError(f"{what} is a number of more than {_MOST_BITS} bits")
    return int(value)
