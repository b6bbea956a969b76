"""Names that came from a model or a file, made safe to show: in messages, logs, terminals and views."""

from __future__ import annotations

#: longest name that is shown whole, in characters
MAX_SHOWN = 200

_CUT = "…"


def shown(text: str, limit: int = MAX_SHOWN) -> str:
    """`text` on one line, at most `limit` characters of it, with everything that a terminal or an eye could be misled by written out.

    That is what `str.isprintable` refuses: control characters (and so ANSI escapes and line breaks), characters that turn the direction of
    writing around or are invisible, other separators than the blank, lone surrogates, and what Unicode has not assigned. Markup is left as
    it is: code that writes HTML or Rich markup escapes that as well.
    """
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return cut if len(text) <= limit and len(cut) <= limit else cut[: limit - 1] + _CUT


def quoted(text: str, limit: int = MAX_SHOWN) -> str:
    """`shown` between quotation marks."""
    return f"'{shown(text, limit)}'"
