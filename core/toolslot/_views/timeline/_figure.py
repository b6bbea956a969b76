"""A run as one SVG without style or script: what a notebook, or a viewer that strips both, shows as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolslot._domain._slot import SlotState
from toolslot._text import shown
from toolslot._views import RunView
from toolslot._views.timeline._call_row import Frame, call_row
from toolslot._views.timeline._dense import MANY, dense_paths
from toolslot._views.timeline._facts import batch_summary, run_summary
from toolslot._views.timeline._html import element, text
from toolslot._views.timeline._layout import timeline
from toolslot._views.timeline._shapes import (
    Boundary,
    BoundaryKind,
    Lane,
    LimitSpan,
    MarkKind,
    Strip,
    Timeline,
)
from toolslot._views.timeline._strip import WORTH_A_STRIP, area_path, ceiling, limit_text
from toolslot._views.timeline._svg import COLORS, ROW, chip, cross, rect, sign, svg, words
from toolslot._views.timeline._ticks import Label, ticks

_STRIP, _LINE = 22.0, 18.0
#: the height of a batch that is shown at a glance
_DENSE = 240.0


def figure(run: RunView, frame: Frame | None = None) -> str:
    """The run as an SVG element. Text is drawn in the colour of the text around it."""
    frame = frame if frame is not None else Frame()
    drawn = timeline(run)
    body, height = figure_body(drawn, frame)
    head = words(0, 14, shown(run.run_id, 70), size=14, weight="600")
    head += words(0, 32, run_summary(run), opacity=0.7)
    end = legend([drawn], height + 44)
    return svg(
        element("g", body, transform="translate(0 40)"),
        head,
        end,
        width=frame.width,
        height=height + 62,
        label=f"{shown(run.run_id, 70)}: {run_summary(run)}",
    )


def figure_body(drawn: Timeline, frame: Frame) -> tuple[str, float]:
    """Axis and batches, and how high they are."""
    parts = list(_axis(drawn, frame))
    y = 36.0
    for number, lane in enumerate(drawn.lanes, start=1):
        if len(drawn.lanes) > 1:
            parts.append(words(0, y + 12, f"Batch {number}", weight="600"))
            parts.append(words(frame.who, y + 12, batch_summary(lane), size=11, opacity=0.7))
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
    return words(frame.x(label.at), y, label.text, size=11, opacity=opacity, anchor=label.anchor.value)


# --- a batch ------------------------------------------------------------------------------------------------------------


def _lane(lane: Lane, drawn: Timeline, frame: Frame) -> tuple[str, float]:
    parts: list[str] = []
    y = 0.0
    if lane.strip.peak and len(lane.rows) >= WORTH_A_STRIP:
        parts.append(_strip(lane.strip, frame))
        y += _STRIP + 4
    if len(lane.owners) > 1 or lane.boundaries:
        parts.append(_owners(lane, frame, y))
        y += ROW
    if len(lane.rows) >= MANY:
        parts.append(_at_a_glance(lane, frame, y))
        y += _DENSE
    else:
        for row in lane.rows:
            parts.append(call_row(row, lane, frame, y))
            y += ROW
    behind = [
        *(_cut(cut.left, cut.right, frame, y) for cut in drawn.scale.cuts),
        *(_boundary(boundary, frame, y) for boundary in lane.boundaries),
    ]
    return "".join([*behind, *parts]), y


def _cut(left: float, right: float, frame: Frame, height: float) -> str:
    return rect(frame.x(left), 0, (right - left) * frame.track, height, fill_opacity="0.07")


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
    return rect(frame.x(boundary.at), 0, width, height, fill=color, fill_opacity="0.14") + line


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
            words(0, 15, "at once", size=11, opacity=0.7),
            area,
            *limits,
            words(frame.width, 15, limit_text(strip), size=11, opacity=0.7, anchor="end"),
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
    parts = [words(0, y + 14, f"{count} process{'es' if count != 1 else ''}", size=11, opacity=0.7)]
    for bar in lane.owners:
        left, width = frame.x(bar.left), max((bar.right - bar.left) * frame.track, 2.0)
        parts.append(rect(left, y + 3, width, 14, fill_opacity="0.13", rx="3"))
        if width >= 7 * len(bar.text):
            parts.append(words(left + 5, y + 14, bar.text, size=10, opacity=0.85))
    parts += [
        element("g", element("title", text(boundary.text)), cross(frame.x(boundary.at), y + 10))
        for boundary in lane.boundaries
        if boundary.kind is BoundaryKind.DIED
    ]
    return "".join(parts)


def _at_a_glance(lane: Lane, frame: Frame, y: float) -> str:
    each = max(_DENSE / len(lane.rows) * 0.8, 0.6)
    paths = [
        element("path", d=path, stroke=COLORS[state], stroke_width=f"{each:.2f}", fill="none")
        for state, path in dense_paths(lane.rows, frame.track, _DENSE).items()
    ]
    inner = element("g", *paths, transform=f"translate({frame.who:g} {y:g})")
    return words(0, y + 14, f"calls 1 to {len(lane.rows):,}", size=11, opacity=0.7) + inner


def legend(runs: Sequence[Timeline], y: float) -> str:
    """What the letters and signs mean, those that occur."""
    rows = [row for one in runs for lane in one.lanes for row in lane.rows]
    states = {row.call.state for row in rows} | {bar.state for row in rows for bar in row.bars}
    marks = {mark.kind for row in rows for mark in row.marks}
    died = any(b.kind is BoundaryKind.DIED for one in runs for lane in one.lanes for b in lane.boundaries)
    signs = [(chip(state, 0, 0), state.value) for state in SlotState if state in states]
    signs += [(sign(kind, 7, 7, "currentColor"), kind.value) for kind in MarkKind if kind in marks]
    signs += [(cross(7, 7), "owner died")] if died else []
    x, parts = 0.0, list[str]()
    for drawn, word in signs:
        inner = drawn + words(19, 11, word, size=11, opacity=0.75)
        parts.append(element("g", inner, transform=f"translate({x:g} {y:g})"))
        x += 35 + 6.4 * len(word)
    return "".join(parts)
