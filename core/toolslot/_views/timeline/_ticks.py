"""What is written along the time axis, and what of it fits. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from toolslot._views import coarse_span_text, date_text, span_text, time_text
from toolslot._views.timeline._scale import Piece, Scale

#: what a character of an axis label takes, in pixels, and what is left free between two labels
_CHARACTER, _FREE = 6.3, 10.0
#: what lies between two ticks at least, in pixels
_APART = 80.0


class Anchor(str, Enum):
    """Which point of a label stands at its place."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A text at a place of the axis."""

    at: float
    text: str
    anchor: Anchor = Anchor.START


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticks:
    """`clock` and `offsets` are the two lines of text; `grid` are the places of the offsets."""

    clock: tuple[Label, ...]
    offsets: tuple[Label, ...]
    grid: tuple[float, ...]


def ticks(scale: Scale, width: float) -> Ticks:
    """The labels of an axis that is `width` pixels wide; none of them touches another."""
    cuts = [
        Label(at=(cut.left + cut.right) / 2, text=coarse_span_text(cut.end - cut.begin), anchor=Anchor.MIDDLE)
        for cut in scale.cuts
    ]
    offsets = [label for piece in scale.pieces for label in _offsets(piece, width)]
    return Ticks(
        clock=_fitting(_clock(scale), width),
        offsets=_fitting([(label,) for label in (*cuts, *offsets)], width),
        grid=tuple(label.at for label in offsets),
    )


def _clock(scale: Scale) -> list[tuple[Label, ...]]:
    """Of each piece the time of day where it begins, in longer and shorter words; first those of a new day, which say so."""
    days = [date_text(piece.begin) for piece in scale.pieces]
    new = [index == 0 or day != days[index - 1] for index, day in enumerate(days)]
    order = sorted(range(len(days)), key=lambda index: not new[index])
    return [
        tuple(
            Label(at=scale.pieces[index].left, text=text)
            for text in _readings(scale.pieces[index].begin, new_day=new[index])
        )
        for index in order
    ]


def _readings(at: float, *, new_day: bool) -> tuple[str, ...]:
    time = time_text(at)
    short = time.partition(".")[0]
    if not new_day:
        return time, short
    day = date_text(at)
    year = day.rpartition(" ")[0]
    return f"{day} {time}", f"{day} {short}", f"{year} {short}", year


def _offsets(piece: Piece, width: float) -> Iterator[Label]:
    """Round spans of time since the piece began."""
    length, pixels = piece.end - piece.begin, (piece.right - piece.left) * width
    step = _round_up(length * _APART / pixels)
    for count in range(1, math.floor(length / step * (1 + 1e-9)) + 1):
        yield Label(
            at=piece.at(piece.begin + count * step), text=f"+{span_text(count * step)}", anchor=Anchor.MIDDLE
        )


def _round_up(seconds: float) -> float:
    """The next round span of time."""
    for size in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200):
        if size >= seconds >= 0.5:
            return float(size)
    unit = 86_400.0 if seconds > 43_200 else 1.0
    power = 10.0 ** math.floor(math.log10(seconds / unit))
    factor = next(factor for factor in (1, 2, 5, 10) if factor * power * (1 + 1e-9) >= seconds / unit)
    return factor * power * unit


def _fitting(labels: Sequence[Sequence[Label]], width: float) -> tuple[Label, ...]:
    """As many as find room, the first ones first, each in the first of its forms that does."""
    taken: list[tuple[float, float]] = []
    kept: list[Label] = []
    for forms in labels:
        for label in forms:
            placed, begin, end = _placed(label, width)
            if begin < 0 or end > width or any(begin < e + _FREE and b < end + _FREE for b, e in taken):
                continue
            taken.append((begin, end))
            kept.append(placed)
            break
    return tuple(kept)


def _placed(label: Label, width: float) -> tuple[Label, float, float]:
    """The label with its extent in pixels; one that would run over the right edge ends there."""
    size, x = len(label.text) * _CHARACTER, label.at * width
    match label.anchor:
        case Anchor.START if x + size > width:
            return Label(at=1.0, text=label.text, anchor=Anchor.END), width - size, width
        case Anchor.START:
            return label, x, x + size
        case Anchor.MIDDLE:
            return label, x - size / 2, x + size / 2
        case Anchor.END:
            return label, x - size, x
