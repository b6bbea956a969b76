"""Small parts of SVG, drawn with presentation attributes alone: viewers that strip style show them as they are. Pure."""

from __future__ import annotations

from toolslot._domain._slot import SlotState
from toolslot._views import LETTERS
from toolslot._views.timeline._html import element, text
from toolslot._views.timeline._shapes import MarkKind

#: dark enough for white letters, light enough for a dark ground
COLORS = {
    SlotState.SUCCEEDED: "#1f8560",
    SlotState.FAILED: "#c8423a",
    SlotState.UNKNOWN: "#a8650a",
    SlotState.WAITING: "#7a5ccf",
    SlotState.RUNNING: "#2f6fd4",
    SlotState.RESERVED: "#7a8290",
}
#: the height of a row
ROW = 20.0
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


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


def rect(x: float, y: float, width: float, height: float, **attributes: str | None) -> str:
    return element("rect", x=f"{x:.1f}", y=f"{y:g}", width=f"{width:.1f}", height=f"{height:g}", **attributes)


def words(
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


def clipped(x: float, y: float, width: float, value: str) -> str:
    """A text of which only what fits is seen."""
    inner = words(0, 14, value)
    return element(
        "svg", inner, x=f"{x:g}", y=f"{y:g}", width=f"{width:g}", height=f"{ROW:g}", overflow="hidden"
    )


def chip(state: SlotState, x: float, y: float) -> str:
    color = COLORS[state]
    hollow = state is SlotState.RESERVED
    box = rect(x, y, 14, 14, rx="4", fill="none" if hollow else color, stroke=color)
    return box + words(
        x + 7,
        y + 10.7,
        LETTERS[state],
        size=10,
        anchor="middle",
        weight="700",
        fill=color if hollow else "#fff",
    )


def sign(kind: MarkKind, x: float, y: float, color: str) -> str:
    ring = element(
        "circle", cx=f"{x:.1f}", cy=f"{y:g}", r="6.5", fill="none", stroke=color, stroke_width="1.6"
    )
    return ring + _SIGNS[kind](x, y, color)


def _arrow(x: float, y: float, color: str) -> str:
    return element(
        "path", d=f"M{x + 2.8:.1f} {y - 3:.1f}L{x - 2.6:.1f} {y:.1f}L{x + 2.8:.1f} {y + 3:.1f}Z", fill=color
    )


def _tick(x: float, y: float, color: str) -> str:
    path = f"M{x - 2.8:.1f} {y:.1f}l2.2 2.4l3.6 -4.6"
    return element("path", d=path, fill="none", stroke=color, stroke_width="1.7")


def _equal(x: float, y: float, color: str) -> str:
    path = f"M{x - 2.6:.1f} {y - 1.5:.1f}h5.2m-5.2 3h5.2"
    return element("path", d=path, fill="none", stroke=color, stroke_width="1.5")


def _times(x: float, y: float, color: str) -> str:
    path = f"M{x - 2.4:.1f} {y - 2.4:.1f}l4.8 4.8m0 -4.8l-4.8 4.8"
    return element("path", d=path, fill="none", stroke=color, stroke_width="1.7")


_SIGNS = {
    MarkKind.REPLAYED: _arrow,
    MarkKind.DECIDED: _tick,
    MarkKind.DEDUPLICATED: _equal,
    MarkKind.REFUSED: _times,
}


def cross(x: float, y: float) -> str:
    circle = element("circle", cx=f"{x:.1f}", cy=f"{y:g}", r="7", fill=COLORS[SlotState.FAILED])
    path = f"M{x - 2.6:.1f} {y - 2.6:.1f}l5.2 5.2m0 -5.2l-5.2 5.2"
    return circle + element("path", d=path, stroke="#fff", stroke_width="1.6", stroke_linecap="round")
