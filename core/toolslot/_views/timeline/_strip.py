"""How many calls of a batch ran at once, over time, against what was allowed. Pure."""

from __future__ import annotations

from toolslot._views.timeline._html import element
from toolslot._views.timeline._shapes import Strip

#: the strip's own units, width and height
_WIDTH, _HEIGHT = 1000, 100
#: a limit that lies higher than so many times the peak is told and not drawn: it would press the rest flat
_DRAWN = 3
#: with fewer calls, everybody sees how many ran at once
WORTH_A_STRIP = 3


def strip_html(strip: Strip) -> str:
    """The strip as a line of the lane; empty where nothing ran."""
    if not strip.peak:
        return ""
    return element(
        "div",
        element("span", element("span", "at once", class_="tool"), class_="who"),
        element("span", _drawing(strip), class_="track"),
        element("span", limit_text(strip), class_="took"),
        class_="strip",
    )


def limit_text(strip: Strip) -> str:
    """The peak against the highest limit that held: "3 of 4"."""
    return (
        f"{strip.peak} of {max(limit.count for limit in strip.limits)}"
        if strip.limits
        else f"peak {strip.peak}"
    )


def ceiling(strip: Strip) -> int:
    """What the height of the strip stands for."""
    drawn = [limit.count for limit in strip.limits if limit.count <= strip.peak * _DRAWN]
    return max(strip.peak, *drawn) if drawn else strip.peak


def area_path(strip: Strip, width: float, height: float) -> str:
    """The outline of the area, closed, as the path of an SVG of that size."""
    top = ceiling(strip)
    path = [f"M0 {height:g}"]
    for place, count in strip.steps:
        path.append(f"H{place * width:.1f}V{height - count / top * height:.1f}")
    return "".join([*path, f"V{height:g}Z"])


def _drawing(strip: Strip) -> str:
    top = ceiling(strip)
    lines = [
        element(
            "line",
            class_="limit",
            x1=f"{limit.left * _WIDTH:.1f}",
            x2=f"{max(limit.right, limit.left + 0.002) * _WIDTH:.1f}",
            y1=f"{(1 - limit.count / top) * _HEIGHT:.1f}",
            y2=f"{(1 - limit.count / top) * _HEIGHT:.1f}",
        )
        for limit in strip.limits
        if limit.count <= top
    ]
    return element(
        "svg",
        element("path", class_="area", d=area_path(strip, _WIDTH, _HEIGHT)),
        *lines,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
