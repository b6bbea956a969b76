"""The effects that calls of a journal name, as views show them. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeGuard, cast

from toolslot._domain._effect_names import KeyPart
from toolslot._domain._effects import EffectState, Forgotten, KnownEffect
from toolslot._text import shown
from toolslot._views._records import PlaceView

#: a text that would be taken for a number
_NUMBER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectView:
    """What calls do in the world under one key, and whether it was done.

    `tool` is the effect's name: the tool's own, or what its policy's `effect_name` says. `key` is None where it cannot be told: encrypted,
    too long, or not kept; `key_text` says which. `since`: when its holder claimed it, or when it was forgotten. `run_id`: the only run that
    the effect is known in; None is all of them. `claims`: how many calls have held it. `purged`: its holder's record is gone.
    """

    tool: str
    key: tuple[KeyPart, ...] | None
    key_text: str
    state: EffectState
    since: float
    idempotency_key: str
    holder: PlaceView | None
    run_id: str | None
    claims: int
    forgotten: tuple[Forgotten, ...]
    purged: bool
    digest: str

    @property
    def hidden(self) -> bool:
        """Whether the journal is encrypted, and was opened without the key for it."""
        return self.key_text == _HIDDEN


#: what a journal gives for a key that it cannot decrypt
_HIDDEN = "(encrypted)"


def effect_view(known: KnownEffect) -> EffectView:
    """The effect as its record, and its holder's, tell it."""
    effect = known.effect
    key = _parts(effect.key)
    return EffectView(
        tool=effect.name,
        key=key,
        key_text=_unread(effect.key) if key is None else key_text(key),
        state=known.state,
        since=effect.at if effect.holder is not None or not effect.forgotten else effect.forgotten[-1].at,
        idempotency_key=effect.idempotency_key,
        holder=None if effect.holder is None else PlaceView.of(effect.holder.place),
        run_id=effect.run_id,
        claims=effect.claims,
        forgotten=effect.forgotten,
        purged=effect.purged is not None,
        digest=effect.digest,
    )


def key_text(parts: tuple[KeyPart, ...]) -> str:
    """The key as words: 4711 is the number, "4711" the text. What would be misread stands as JSON."""
    return " ".join(map(part_text, parts))


def part_text(part: KeyPart) -> str:
    if isinstance(part, int):
        return str(part)
    plain = part and shown(part) == part and not re.search(r"[\s\"]", part) and not _NUMBER.fullmatch(part)
    return part if plain else json.dumps(part)


def _parts(stored: str) -> tuple[KeyPart, ...] | None:
    try:
        found: object = json.loads(stored)
    except (ValueError, RecursionError):  # it was cut, is encrypted, or was not kept
        return None
    return tuple(found) if _is_key(found) else None


def _is_key(found: object) -> TypeGuard[list[KeyPart]]:
    if not isinstance(found, list):
        return False
    parts = cast("list[object]", found)
    return all(isinstance(part, (int, str)) and not isinstance(part, bool) for part in parts)


def _unread(stored: str) -> str:
    if stored == _HIDDEN:
        return _HIDDEN
    return f"{shown(stored)}… (cut)" if stored else "(not kept)"
