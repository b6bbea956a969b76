"""A call as a row of a figure. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolslot._domain._slot import SlotState
from toolslot._text import shown
from toolslot._views import LETTERS, CallView
from toolslot._views.timeline._facts import call_facts, spoken, took_text
from toolslot._views.timeline._html import element, text
from toolslot._views.timeline._shapes import Bar, BarKind, Lane, Mark, Row
from toolslot._views.timeline._svg import COLORS, ROW, chip, clipped, rect, sign, words


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """How wide things are, in pixels, and what is written at the end of a call's row: a text, and whether it is bad news."""

    width: float = 780.0
    who: float = 176.0
    took: float = 76.0
    note: Callable[[CallView], tuple[str, bool]] = lambda call: (took_text(call), False)

    @property
    def track(self) -> float:
        return self.width - self.who - self.took

    def x(self, place: float) -> float:
        return self.who + place * self.track


def call_row(row: Row, lane: Lane, frame: Frame, y: float) -> str:
    call = row.call
    told = "\n".join([spoken(call), *(f"{label}: {value}" for label, value in call_facts(lane.batch, call))])
    note, bad = frame.note(call)
    parts = [
        element("title", text(told)),
        rect(0, y, frame.width, ROW, fill_opacity="0"),
        words(20, y + 14, str(call.index), size=11, opacity=0.6, anchor="end"),
        chip(call.state, 27, y + 3),
        clipped(46, y, frame.who - 54, shown(call.tool, 60)),
        *(_bar(bar, frame, y) for bar in row.bars),
        *(_mark(mark, call, frame, y) for mark in row.marks),
        words(
            frame.width,
            y + 14,
            note,
            size=11,
            opacity=1 if bad else 0.75,
            anchor="end",
            weight="700" if bad else None,
            fill=COLORS[SlotState.FAILED] if bad else None,
        ),
    ]
    return element("g", *parts)


def _bar(bar: Bar, frame: Frame, y: float) -> str:
    left, color = frame.x(bar.left), COLORS[bar.state]
    width = (bar.right - bar.left) * frame.track
    if bar.kind is BarKind.QUEUED:
        return rect(left, y + 7, max(width, 0.5), 6, fill=color, fill_opacity="0.35", rx="1.5")
    width = max(width, 2.5)
    sure = bar.state in (SlotState.SUCCEEDED, SlotState.FAILED, SlotState.RUNNING)
    shape = rect(
        left,
        y + 3,
        width,
        14,
        rx="3",
        fill=color,
        fill_opacity=None if sure else "0.22",
        stroke=None if sure else color,
        stroke_dasharray=None if sure else "3 2",
    )
    if width < 16:
        return shape
    letter = words(
        left + 5, y + 14, LETTERS[bar.state], size=10, weight="700", fill="#fff" if sure else color
    )
    return shape + letter


def _mark(mark: Mark, call: CallView, frame: Frame, y: float) -> str:
    drawn = sign(mark.kind, frame.x(mark.at), y + 10, COLORS[call.state])
    return element("g", element("title", text(mark.text)), drawn)
