"""Which effect key a person means by the words of a command line. Pure."""

from __future__ import annotations

import json
import re
from itertools import product

import click

from toolslot._domain._effect_names import KeyPart
from toolslot._text import quoted
from toolslot._views import key_text
from toolslot.cli._calls import as_word

#: how a number is written that somebody may also have meant as a text
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,1199}")
#: words that may be both; each doubles the keys that may be meant
_MOST_AMBIGUOUS = 8


def meant_keys(words: tuple[str, ...], *, exact: bool) -> list[tuple[KeyPart, ...]]:
    """The keys that the words may stand for. `exact`: they are JSON.

    Raises:
        BadParameter: they stand for no key.
    """
    meant = [_exactly(word) if exact else _possibly(word) for word in words]
    if sum(len(each) > 1 for each in meant) > _MOST_AMBIGUOUS:
        raise click.BadParameter(
            f"more than {_MOST_AMBIGUOUS} of the words may be a number or a text: say which with --exact.",
            param_hint="KEY",
        )
    return list(product(*meant))


def typed_exactly(parts: tuple[KeyPart, ...]) -> str:
    """What to type for this key and no other."""
    return " ".join(as_word(json.dumps(part)) for part in parts)


def kind_of(parts: tuple[KeyPart, ...]) -> str:
    """The key, and of one part what that is."""
    kinds = ["a number" if isinstance(part, int) else "a text" for part in parts]
    return f"{key_text(parts)} ({kinds[0]})" if len(kinds) == 1 else key_text(parts)


def _possibly(word: str) -> list[KeyPart]:
    if len(word) > 1 and word[0] == word[-1] == '"':
        return _exactly(word)
    return [int(word), word] if _NUMBER.fullmatch(word) else [word]


def _exactly(word: str) -> list[KeyPart]:
    try:
        found: object = json.loads(word, parse_int=_number)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, bool) or not isinstance(found, (int, str)):
        raise click.BadParameter(
            f"{quoted(word)} is no JSON number or text, so it names no effect. Write 4711 for the number and '\"4711\"', with both kinds of"
            " quotation marks, for the text.",
            param_hint="KEY",
        )
    return [found]


def _number(digits: str) -> int:
    if not _NUMBER.fullmatch(digits):
        raise ValueError
    return int(digits)
