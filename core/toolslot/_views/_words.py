"""The short words of every view: a letter for each state, spans of time, the time of day. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from types import MappingProxyType

from toolslot._domain._slot import SlotState
from toolslot._domain._view import NoteView
from toolslot._text import shown

#: a sign for each state: colour is never all that tells states apart
LETTERS: Mapping[SlotState, str] = MappingProxyType(
    {
        SlotState.RESERVED: "-",
        SlotState.RUNNING: "R",
        SlotState.WAITING: "W",
        SlotState.SUCCEEDED: "S",
        SlotState.FAILED: "F",
        SlotState.UNKNOWN: "U",
    }
)

#: seconds of each unit, from the longest
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
#: of a unit, so much is told as one
_NEARLY = 0.95


def span_text(seconds: float) -> str:
    """A span of time in at most two units: "350 ms", "1.25 s", "2 min 5 s", "3 d 4 h"."""
    if seconds < 0.0005:
        return "0 ms" if seconds <= 0 else "<1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    return _long(round(seconds))


def coarse_span_text(seconds: float) -> str:
    """As `span_text` in one unit, for where there is little room: "2 min"."""
    for size, unit in _UNITS:
        if seconds >= size * _NEARLY:
            return f"{round(seconds / size):,} {unit}"
    return span_text(seconds)


def time_text(at: float) -> str:
    """The time of day in UTC, to the millisecond."""
    moment = _moment(at)
    return "?" if moment is None else moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def noun(number: int, one: str, many: str | None = None) -> str:
    """The noun that goes with a number; `many` is for words that take more than an s."""
    return one if number == 1 else many or f"{one}s"


def note_text(note: NoteView) -> str:
    """What a call said of itself, with the reference that it gave; on one line."""
    ref = f" [{shown(note.ref, 500)}]" if note.ref else ""
    return f"{shown(note.text, 500)}{ref}"


def repeated_text(times: int) -> str:
    """Of a call with a recorded answer that ran again all the same, so many times."""
    return "run again on resume" if times == 1 else f"run again on resume, {times:,} times"


def date_text(at: float) -> str:
    """The day in UTC: "25 Nov 2026"."""
    moment = _moment(at)
    return "?" if moment is None else f"{moment.day} {moment:%b %Y}"


def _long(seconds: int) -> str:
    parts: list[str] = []
    for size, unit in _UNITS:
        if seconds >= size or parts:
            count, seconds = divmod(seconds, size)
            parts.append(f"{count:,} {unit}")
    parts.append(f"{seconds} s")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def _moment(at: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, timezone.utc)
    except (OverflowError, OSError, ValueError):  # a damaged or crafted journal may hold any number
        return None
