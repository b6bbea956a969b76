"""A run as one SVG without style or script: what a notebook, or a viewer that strips both, shows as it is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from toolslot._insights import LETTERS, CallView, RunView
from toolslot._slot import SlotState
from toolslot._text import shown
from toolslot._timeline._dense import MANY, dense_paths
from toolslot._timeline._facts import batch_summary, call_facts, run_summary, spoken, took_text
from toolslot._timeline._html import element, text
from toolslot._timeline._layout import timeline
from toolslot._timeline._shapes import (
    Bar,
    BarKind,
    Boundary,
    BoundaryKind,
    Lane,
    LimitSpan,
    Mark,
    MarkKind,
    Row,
    Strip,
    Timeline,
)
from toolslot._timeline._strip import area_path, ceiling, limit_text
from toolslot._timeline._ticks import Label, ticks

#: dark enough for white letters, light enough for a dark ground
COLORS = {
    SlotState.SUCCEEDED: "#1f8560",
    SlotState.FAILED: "#c8423a",
    SlotState.UNKNOWN: "#a8650a",
    SlotState.WAITING: "#7a5ccf",
    SlotState.RUNNING: "#2f6fd4",
    SlotState.RESERVED: "#7a8290",
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_ROW, _STRIP, _LINE = 20.0, 22.0, 18.0
#: with fewer calls, everybody sees how many ran at once
_WORTH_A_STRIP = 3
#: the height of a batch that is shown at a glance
_DENSE = 240.0


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


def figure(run: RunView, frame: Frame | None = None) -> str:
    """The run as an SVG element. Text is drawn in the colour of the text around it."""
    frame = frame if frame is not None else Frame()
    drawn = timeline(run)
    body, height = figure_body(drawn, frame)
    head = _text(0, 14, shown(run.run_id, 70), size=14, weight="600")
    head += _text(0, 32, run_summary(run), opacity=0.7)
    end = legend([drawn], height + 44)
    return svg(
        element("g", body, transform="translate(0 40)"),
        head,
        end,
        width=frame.width,
        height=height + 62,
        label=f"{shown(run.run_id, 70)}: {run_summary(run)}",
    )


def svg(*inner: str, width: float, height: float, label: str) -> str:
    """An SVG element of that size that is an image with that name."""
    return element(
        "svg",
        *inner,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        aria_label=label,
        font_family=_FONT,
        font_size="12",
        fill="currentColor",
        style="max-width:100%;height:auto",
    )


def figure_body(drawn: Timeline, frame: Frame) -> tuple[str, float]:
    """Axis and batches, and how high they are."""
    parts = list(_axis(drawn, frame))
    y = 36.0
    for number, lane in enumerate(drawn.lanes, start=1):
        if len(drawn.lanes) > 1:
            parts.append(_text(0, y + 12, f"Batch {number}", weight="600"))
            parts.append(_text(frame.who, y + 12, batch_summary(lane), size=11, opacity=0.7))
            y += _LINE
        inner, height = _lane(lane, drawn, frame)
        parts.append(element("g", inner, transform=f"translate(0 {y:g})"))
        y += height + 10
    return "".join(parts), y


def _axis(drawn: Timeline, frame: Frame) -> Iterator[str]:
    labels = ticks(drawn.scale, frame.track)
    for label in labels.clock:
        yield _label(label, 12, frame, 0.95)
    for label in labels.offsets:
        yield _label(label, 28, frame, 0.65)


def _label(label: Label, y: float, frame: Frame, opacity: float) -> str:
    return _text(frame.x(label.at), y, label.text, size=11, opacity=opacity, anchor=label.anchor.value)


# --- a batch ------------------------------------------------------------------------------------------------------------


def _lane(lane: Lane, drawn: Timeline, frame: Frame) -> tuple[str, float]:
    parts: list[str] = []
    y = 0.0
    if lane.strip.peak and len(lane.rows) >= _WORTH_A_STRIP:
        parts.append(_strip(lane.strip, frame))
        y += _STRIP + 4
    if len(lane.owners) > 1 or lane.boundaries:
        parts.append(_owners(lane, frame, y))
        y += _ROW
    if len(lane.rows) >= MANY:
        parts.append(_at_a_glance(lane, frame, y))
        y += _DENSE
    else:
        for row in lane.rows:
            parts.append(_row(row, lane, frame, y))
            y += _ROW
    behind = [
        *(_cut(cut.left, cut.right, frame, y) for cut in drawn.scale.cuts),
        *(_boundary(boundary, frame, y) for boundary in lane.boundaries),
    ]
    return "".join([*behind, *parts]), y


def _cut(left: float, right: float, frame: Frame, height: float) -> str:
    return _rect(frame.x(left), 0, (right - left) * frame.track, height, fill_opacity="0.07")


def _boundary(boundary: Boundary, frame: Frame, height: float) -> str:
    died = boundary.kind is BoundaryKind.DIED
    color = COLORS[SlotState.FAILED if died else SlotState.UNKNOWN]
    at = boundary.at if died else boundary.until
    line = element(
        "line",
        x1=f"{frame.x(at):.1f}",
        x2=f"{frame.x(at):.1f}",
        y1="0",
        y2=f"{height:g}",
        stroke=color,
        stroke_width="2" if boundary.kind is not BoundaryKind.LET_GO else "1",
        stroke_dasharray=None if died else "4 3",
    )
    if not died:
        return line
    width = (boundary.until - boundary.at) * frame.track
    return _rect(frame.x(boundary.at), 0, width, height, fill=color, fill_opacity="0.14") + line


def _strip(strip: Strip, frame: Frame) -> str:
    area = element(
        "path",
        d=area_path(strip, frame.track, _STRIP),
        fill=COLORS[SlotState.RUNNING],
        fill_opacity="0.3",
        transform=f"translate({frame.who:g} 0)",
    )
    limits = (_limit(limit, ceiling(strip), frame) for limit in strip.limits)
    return "".join(
        [
            _text(0, 15, "at once", size=11, opacity=0.7),
            area,
            *limits,
            _text(frame.width, 15, limit_text(strip), size=11, opacity=0.7, anchor="end"),
        ]
    )


def _limit(limit: LimitSpan, top: int, frame: Frame) -> str:
    if limit.count > top:
        return ""
    y = f"{(1 - limit.count / top) * _STRIP:.1f}"
    return element(
        "line",
        x1=f"{frame.x(limit.left):.1f}",
        x2=f"{frame.x(limit.right):.1f}",
        y1=y,
        y2=y,
        stroke="currentColor",
        stroke_opacity="0.6",
        stroke_dasharray="4 3",
    )


def _owners(lane: Lane, frame: Frame, y: float) -> str:
    count = len(lane.owners)
    parts = [_text(0, y + 14, f"{count} process{'es' if count != 1 else ''}", size=11, opacity=0.7)]
    for bar in lane.owners:
        left, width = frame.x(bar.left), max((bar.right - bar.left) * frame.track, 2.0)
        parts.append(_rect(left, y + 3, width, 14, fill_opacity="0.13", rx="3"))
        if width >= 7 * len(bar.text):
            parts.append(_text(left + 5, y + 14, bar.text, size=10, opacity=0.85))
    parts += [
        element("g", element("title", text(boundary.text)), _cross(frame.x(boundary.at), y + 10))
        for boundary in lane.boundaries
        if boundary.kind is BoundaryKind.DIED
    ]
    return "".join(parts)


def _cross(x: float, y: float) -> str:
    circle = element("circle", cx=f"{x:.1f}", cy=f"{y:g}", r="7", fill=COLORS[SlotState.FAILED])
    path = f"M{x - 2.6:.1f} {y - 2.6:.1f}l5.2 5.2m0 -5.2l-5.2 5.2"
    return circle + element("path", d=path, stroke="#fff", stroke_width="1.6", stroke_linecap="round")


def _at_a_glance(lane: Lane, frame: Frame, y: float) -> str:
    each = max(_DENSE / len(lane.rows) * 0.8, 0.6)
    paths = [
        element("path", d=path, stroke=COLORS[state], stroke_width=f"{each:.2f}", fill="none")
        for state, path in dense_paths(lane.rows, frame.track, _DENSE).items()
    ]
    inner = element("g", *paths, transform=f"translate({frame.who:g} {y:g})")
    return _text(0, y + 14, f"calls 1 to {len(lane.rows):,}", size=11, opacity=0.7) + inner


# --- a call -------------------------------------------------------------------------------------------------------------


def _row(row: Row, lane: Lane, frame: Frame, y: float) -> str:
    call = row.call
    told = "\n".join([spoken(call), *(f"{label}: {value}" for label, value in call_facts(lane.batch, call))])
    note, bad = frame.note(call)
    parts = [
        element("title", text(told)),
        _rect(0, y, frame.width, _ROW, fill_opacity="0"),
        _text(20, y + 14, str(call.index + 1), size=11, opacity=0.6, anchor="end"),
        _chip(call.state, 27, y + 3),
        _clipped(46, y, frame.who - 54, shown(call.tool, 60)),
        *(_bar(bar, frame, y) for bar in row.bars),
        *(_mark(mark, call, frame, y) for mark in row.marks),
        _text(
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


def _chip(state: SlotState, x: float, y: float) -> str:
    color = COLORS[state]
    hollow = state is SlotState.RESERVED
    box = _rect(x, y, 14, 14, rx="4", fill="none" if hollow else color, stroke=color)
    return box + _text(
        x + 7,
        y + 10.7,
        LETTERS[state],
        size=10,
        anchor="middle",
        weight="700",
        fill=color if hollow else "#fff",
    )


def _clipped(x: float, y: float, width: float, value: str) -> str:
    """A text of which only what fits is seen."""
    inner = _text(0, 14, value)
    return element(
        "svg", inner, x=f"{x:g}", y=f"{y:g}", width=f"{width:g}", height=f"{_ROW:g}", overflow="hidden"
    )


def _bar(bar: Bar, frame: Frame, y: float) -> str:
    left, color = frame.x(bar.left), COLORS[bar.state]
    width = (bar.right - bar.left) * frame.track
    if bar.kind is BarKind.QUEUED:
        return _rect(left, y + 7, max(width, 0.5), 6, fill=color, fill_opacity="0.35", rx="1.5")
    width = max(width, 2.5)
    sure = bar.state in (SlotState.SUCCEEDED, SlotState.FAILED, SlotState.RUNNING)
    shape = _rect(
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
    letter = _text(
        left + 5, y + 14, LETTERS[bar.state], size=10, weight="700", fill="#fff" if sure else color
    )
    return shape + letter


def _mark(mark: Mark, call: CallView, frame: Frame, y: float) -> str:
    sign = _sign(mark.kind, frame.x(mark.at), y + 10, COLORS[call.state])
    return element("g", element("title", text(mark.text)), sign)


def _sign(kind: MarkKind, x: float, y: float, color: str) -> str:
    ring = element(
        "circle", cx=f"{x:.1f}", cy=f"{y:g}", r="6.5", fill="none", stroke=color, stroke_width="1.6"
    )
    return ring + (_arrow(x, y, color) if kind is MarkKind.REPLAYED else _tick(x, y, color))


def _arrow(x: float, y: float, color: str) -> str:
    return element(
        "path", d=f"M{x + 2.8:.1f} {y - 3:.1f}L{x - 2.6:.1f} {y:.1f}L{x + 2.8:.1f} {y + 3:.1f}Z", fill=color
    )


def _tick(x: float, y: float, color: str) -> str:
    path = f"M{x - 2.8:.1f} {y:.1f}l2.2 2.4l3.6 -4.6"
    return element("path", d=path, fill="none", stroke=color, stroke_width="1.7")


# --- small parts --------------------------------------------------------------------------------------------------------


def legend(runs: Sequence[Timeline], y: float) -> str:
    """What the letters and signs mean, those that occur."""
    rows = [row for drawn in runs for lane in drawn.lanes for row in lane.rows]
    states = {row.call.state for row in rows} | {bar.state for row in rows for bar in row.bars}
    marks = {mark.kind for row in rows for mark in row.marks}
    died = any(b.kind is BoundaryKind.DIED for drawn in runs for lane in drawn.lanes for b in lane.boundaries)
    signs = [(_chip(state, 0, 0), state.value) for state in SlotState if state in states]
    signs += [(_sign(kind, 7, 7, "currentColor"), kind.value) for kind in MarkKind if kind in marks]
    signs += [(_cross(7, 7), "owner died")] if died else []
    x, parts = 0.0, list[str]()
    for sign, word in signs:
        inner = sign + _text(19, 11, word, size=11, opacity=0.75)
        parts.append(element("g", inner, transform=f"translate({x:g} {y:g})"))
        x += 35 + 6.4 * len(word)
    return "".join(parts)


def _rect(x: float, y: float, width: float, height: float, **attributes: str | None) -> str:
    return element("rect", x=f"{x:.1f}", y=f"{y:g}", width=f"{width:.1f}", height=f"{height:g}", **attributes)


def _text(
    x: float,
    y: float,
    value: str,
    *,
    size: float | None = None,
    opacity: float | None = None,
    anchor: str | None = None,
    weight: str | None = None,
    fill: str | None = None,
) -> str:
    return element(
        "text",
        text(value),
        x=f"{x:.1f}",
        y=f"{y:g}",
        font_size=None if size is None else f"{size:g}",
        font_weight=weight,
        fill=fill,
        fill_opacity=None if opacity is None else f"{opacity:g}",
        text_anchor=None if anchor in (None, "start") else anchor,
    )
