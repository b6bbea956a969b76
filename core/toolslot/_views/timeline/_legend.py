"""What the colours, letters and signs of a page mean. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from toolslot._domain._slot import SlotState
from toolslot._views import LETTERS
from toolslot._views.timeline._html import element
from toolslot._views.timeline._shapes import BarKind, BoundaryKind, MarkKind, Timeline

#: the class and the sign of what ends an owner's time
BOUNDARIES = {
    BoundaryKind.DIED: ("died", "✕"),
    BoundaryKind.LET_GO: ("letgo", "→"),
    BoundaryKind.FORCED: ("forced", "!"),
}
#: the sign of what befell a call
MARKS = {
    MarkKind.REPLAYED: "↺",
    MarkKind.DECIDED: "✓",
    MarkKind.DEDUPLICATED: "=",
    MarkKind.REFUSED: "✗",
}

_BOUNDARY_WORDS = {
    BoundaryKind.DIED: "its process died",
    BoundaryKind.LET_GO: "handed on",
    BoundaryKind.FORCED: "taken by force",
}


def chip(state: SlotState) -> str:
    """The state's letter on its colour."""
    return element("b", LETTERS[state], class_=f"chip {state.value}", aria_hidden="true")


def legend_html(drawn: Timeline) -> str:
    """The states, each a button that shows only its calls, and the signs that occur."""
    items = [element("li", item) for item in (*_states(drawn), *_signs(drawn))]
    return element("ul", *items, class_="legend", aria_label="Legend")


def _states(drawn: Timeline) -> Iterator[str]:
    counts = Counter(call.state for call in drawn.run.calls)
    for state in SlotState:
        inner = f"{chip(state)} {state.value}"
        if not counts[state]:
            yield element("span", inner)
            continue
        yield element(
            "button",
            f"{inner} {counts[state]:,}",
            type="button",
            class_=state.value,
            data_state=state.value,
            aria_pressed="false",
            title=f"show only the calls that are {state.value}",
        )


def _signs(drawn: Timeline) -> Iterator[str]:
    rows = [row for lane in drawn.lanes for row in lane.rows]
    if any(bar.kind is BarKind.QUEUED for row in rows for bar in row.bars):
        yield _sign("bar queued reserved", "", "waited for its turn")
    marks = {mark.kind for row in rows for mark in row.marks}
    for kind in MarkKind:
        if kind in marks:
            yield _sign(f"mark {kind.value} reserved", element("b", MARKS[kind]), kind.value)
    boundaries = {boundary.kind for lane in drawn.lanes for boundary in lane.boundaries}
    for ending in BoundaryKind:
        if ending in boundaries:
            name, sign = BOUNDARIES[ending]
            yield _sign(f"badge {name}", sign, _BOUNDARY_WORDS[ending])
    if drawn.scale.cuts:
        yield _sign("cut", "", "idle time, cut short")


def _sign(name: str, sign: str, words: str) -> str:
    return element("span", element("i", sign, class_=f"sign {name}", aria_hidden="true"), words)
