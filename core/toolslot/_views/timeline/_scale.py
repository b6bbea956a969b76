"""The time axis: wall-clock seconds to places between 0 and 1, with long idle times cut short. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: an idle time is cut short when it is longer than this part of all the time in which something happened
_IDLE = 0.5
#: what a cut takes of the axis, and all cuts together at most
_CUT, _CUTS = 0.035, 0.25
#: what a piece between two cuts takes at least: of the axis, and of its even share
_LEAST, _LEAST_SHARE = 0.12, 0.6
#: shorter pieces are drawn as if they took so many seconds
_INSTANT = 0.001
#: stretched by less than this is not worth a word
_NOTED = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of the axis on which time is even. `stretch`: how much longer it is drawn than the others are."""

    begin: float
    end: float
    left: float
    right: float
    stretch: float = 1.0

    def at(self, time: float) -> float:
        return self.left + (self.right - self.left) * (time - self.begin) / (self.end - self.begin)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """The pieces of the axis in order, a cut between each two."""

    pieces: tuple[Piece, ...]

    @property
    def cuts(self) -> tuple[Piece, ...]:
        """The idle times that were cut short."""
        return tuple(
            Piece(begin=one.end, end=two.begin, left=one.right, right=two.left)
            for one, two in zip(self.pieces, self.pieces[1:], strict=False)
        )

    def at(self, time: float) -> float:
        """The place of a moment; what lies outside is at the edge."""
        index = bisect_right([piece.begin for piece in self.pieces], time) - 1
        if index < 0:
            return 0.0
        piece = self.pieces[index]
        if time <= piece.end:
            return piece.at(time)
        return self.cuts[index].at(time) if index + 1 < len(self.pieces) else 1.0


def scale(spans: Iterable[tuple[float, float]]) -> Scale:
    """The axis on which something happened in `spans`; at least one."""
    busy = _merged(spans, 0.0)
    total = sum(end - begin for begin, end in busy)
    return _placed(_merged(busy, max(total * _IDLE, _INSTANT)))


def _merged(spans: Iterable[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """The spans in order, those that overlap or lie at most `gap` apart made one."""
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if merged and begin - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, max(begin, end)))
    return merged


def _placed(spans: Sequence[tuple[float, float]]) -> Scale:
    count = len(spans)
    cut = min(_CUT, _CUTS / (count - 1)) if count > 1 else 0.0
    lengths = [max(end - begin, _INSTANT) for begin, end in spans]
    shares, common = _shares(lengths, 1.0 - cut * (count - 1))
    pieces: list[Piece] = []
    left = 0.0
    for (begin, _), length, share in zip(spans, lengths, shares, strict=True):
        stretch = share / length / common
        pieces.append(
            Piece(
                begin=begin,
                end=max(
                    begin + length, math.nextafter(begin, math.inf)
                ),  # floats are far apart at absurd times
                left=left,
                right=left + share,
                stretch=stretch if stretch >= _NOTED else 1.0,
            )
        )
        left += share + cut
    return Scale(pieces=tuple(pieces))


def _shares(lengths: Sequence[float], width: float) -> tuple[list[float], float]:
    """What each piece takes of the axis, and the share of one second in those that are not stretched."""
    least = min(_LEAST, _LEAST_SHARE / len(lengths)) * width
    short: set[int] = set()
    while True:
        rest = width - least * len(short)
        common = rest / sum(length for i, length in enumerate(lengths) if i not in short)
        more = {i for i, length in enumerate(lengths) if i not in short and length * common < least}
        if not more:
            break
        short |= more
    return [least if i in short else length * common for i, length in enumerate(lengths)], common
