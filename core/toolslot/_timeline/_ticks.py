"""What is written along the time axis, and what of it fits. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from toolslot._insights import coarse_span_text, date_text, span_text, time_text
from toolslot._timeline._scale import Piece, Scale

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
    clock = _fitting(list(_clock(scale)), width)
    cuts = [
        Label(at=(cut.left + cut.right) / 2, text=coarse_span_text(cut.end - cut.begin), anchor=Anchor.MIDDLE)
        for cut in scale.cuts
    ]
    offsets = [label for piece in scale.pieces for label in _offsets(piece, width)]
    return Ticks(
        clock=clock,
        offsets=_fitting([*cuts, *offsets], width),
        grid=tuple(label.at for label in offsets),
    )


def _clock(scale: Scale) -> Iterator[Label]:
    """The time of day where a piece begins, with the day where it is another one."""
    day = ""
    for piece in scale.pieces:
        today = date_text(piece.begin)
        stretched = f" (stretched {piece.stretch:.0f}x)" if piece.stretch >= 1.5 else ""
        text = time_text(piece.begin) if today == day else f"{today} {time_text(piece.begin)}"
        day = today
        yield Label(at=piece.left, text=text + stretched)


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


def _fitting(labels: Sequence[Label], width: float) -> tuple[Label, ...]:
    """As many of them as find room; the first ones first."""
    taken: list[tuple[float, float]] = []
    kept: list[Label] = []
    for label in labels:
        placed, begin, end = _placed(label, width)
        if begin >= 0 and end <= width and all(end + _FREE <= b or e + _FREE <= begin for b, e in taken):
            taken.append((begin, end))
            kept.append(placed)
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
