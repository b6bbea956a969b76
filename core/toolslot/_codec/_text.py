"""Text that is safe to keep and to show: bounded, without control characters, made from objects that may misbehave."""

from __future__ import annotations

import re
import reprlib

#: longest text kept of a value that no codec could write, in characters
MAX_REPR = 2000

# Control characters, line and paragraph separators, characters that turn the direction of writing around, and lone surrogates: they can
# forge lines in a log, drive a terminal, or be refused by a database.
_UNSAFE = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_EXCEPT_LINES = re.compile(f"[{_UNSAFE}]")
_ALL = re.compile(f"[{_UNSAFE}\t\n]")

_CUT = "..."
_LEFT_OUT = "\n... (left out) ...\n"


def qualified_name(cls: type) -> str:
    """`module.Class` of any class, however strange."""
    try:
        return one_line(f"{cls.__module__}.{cls.__qualname__}", 500)
    except Exception:
        return "a class without a name"


def one_line(text: str, limit: int) -> str:
    """At most `limit` characters, every unsafe character and every line break escaped."""
    return _cut(_ALL.sub(_escape, text[: limit + 1]), limit)


def lines(text: str, limit: int) -> str:
    """Like `one_line`, but line breaks and tabs stay."""
    return _cut(_EXCEPT_LINES.sub(_escape, text[: limit + 1]), limit)


def both_ends(text: str, limit: int) -> str:
    """Like `lines`, but what is too long loses its middle, and `limit` counts bytes of UTF-8."""
    if len(text) > 2 * limit:
        text = text[:limit] + text[-limit:]
    data = _EXCEPT_LINES.sub(_escape, text).encode()
    if len(data) <= limit:
        return data.decode()
    part = (limit - len(_LEFT_OUT)) // 2
    return data[:part].decode(errors="ignore") + _LEFT_OUT + data[-part:].decode(errors="ignore")


def bounded_repr(value: object) -> str:
    """`repr` in one line of at most `MAX_REPR` characters; never raises, and does not walk through all of a large container."""
    try:
        return one_line(_Repr().repr(value), MAX_REPR)
    except Exception as error:
        return one_line(f"<{qualified_name(type(value))}: repr raised {type(error).__name__}>", MAX_REPR)


class _Repr(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 8
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = (
            self.maxarray
        ) = 50
        self.maxstring = self.maxlong = self.maxother = MAX_REPR


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - len(_CUT)] + _CUT


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
