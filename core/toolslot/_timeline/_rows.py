"""One batch of a timeline as HTML: its owners, how many calls ran at once, and a row for each call. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from toolslot._insights import LETTERS, CallView
from toolslot._slot import SlotState
from toolslot._text import shown
from toolslot._timeline._facts import batch_summary, spoken, took_text
from toolslot._timeline._html import element, percent, text
from toolslot._timeline._shapes import Bar, BarKind, Boundary, BoundaryKind, Lane, Mark, MarkKind, Row
from toolslot._timeline._strip import strip_html

_LINE_CLASS = {BoundaryKind.DIED: "died", BoundaryKind.LET_GO: "letgo", BoundaryKind.FORCED: "forced"}
_BADGES = {BoundaryKind.DIED: "✕", BoundaryKind.LET_GO: "→", BoundaryKind.FORCED: "!"}
_GLYPHS = {MarkKind.REPLAYED: "↺", MarkKind.DECIDED: "✓"}


def lane_html(lane: Lane, number: int, first: int, behind: str) -> str:
    """The batch as a section. `first` is the number of its first call in the run; `behind` what every batch has in its background."""
    boundaries = "".join(_line(boundary) for boundary in lane.boundaries)
    return element(
        "section",
        _heading(lane, number),
        element(
            "div",
            element("div", behind, boundaries, class_="plot", aria_hidden="true"),
            strip_html(lane.strip),
            element(
                "ol",
                element("li", _owners(lane, number)),
                *(element("li", _call(row, first + i)) for i, row in enumerate(lane.rows)),
                class_="rows",
            ),
            class_="lane",
        ),
        class_="batch",
        aria_labelledby=f"batch-{number}",
    )


def chip(state: SlotState) -> str:
    """The state's letter on its colour."""
    return element("b", LETTERS[state], class_=f"chip {state.value}", aria_hidden="true")


def _heading(lane: Lane, number: int) -> str:
    batch = lane.batch
    return element(
        "h2",
        f"Batch {number}",
        element("span", text(shown(batch.batch_id, 90)), class_="id"),
        element("span", text(batch.state.value), class_="pill"),
        id=f"batch-{number}",
    ) + element("p", text(batch_summary(lane)), class_="sum")


# --- owners -------------------------------------------------------------------------------------------------------------


def _owners(lane: Lane, number: int) -> str:
    count = len(lane.owners)
    label = f"{count} process{'es' if count != 1 else ''}"
    told = "; ".join(boundary.text for boundary in lane.boundaries)
    bars = [
        element("i", element("b", text(bar.text)), class_="bar", style=_place(bar)) for bar in lane.owners
    ]
    badges = [
        element(
            "i",
            _BADGES[boundary.kind],
            class_=f"badge {_LINE_CLASS[boundary.kind]}",
            style=f"left:{percent(_badge_place(boundary))}",
        )
        for boundary in lane.boundaries
    ]
    return element(
        "button",
        element("span", element("span", text(label), class_="tool"), class_="who"),
        element("span", *bars, *badges, class_="track"),
        element("span", class_="took"),
        class_="row owners",
        type="button",
        data_n=f"owners-{number}",
        aria_expanded="false",
        aria_label=f"Batch {number}, {label}{': ' if told else ''}{told}",
    )


def _badge_place(boundary: Boundary) -> float:
    return boundary.at if boundary.kind is BoundaryKind.DIED else boundary.until


def _line(boundary: Boundary) -> str:
    line = element("i", class_=_LINE_CLASS[boundary.kind], style=f"left:{percent(_badge_place(boundary))}")
    if boundary.kind is not BoundaryKind.DIED:
        return line
    width = percent(boundary.until - boundary.at)
    return element("i", class_="lost", style=f"left:{percent(boundary.at)};width:{width}") + line


# --- calls --------------------------------------------------------------------------------------------------------------


def _call(row: Row, number: int) -> str:
    call = row.call
    return element(
        "button",
        element("span", *_who(call), class_="who"),
        element("span", *map(_bar, row.bars), *(_mark(mark, call) for mark in row.marks), class_="track"),
        element("span", text(took_text(call)), class_="took"),
        class_="row",
        type="button",
        data_n=str(number),
        aria_expanded="false",
        aria_label=spoken(call),
    )


def _who(call: CallView) -> Iterator[str]:
    yield element("i", str(call.index + 1), class_="n")
    yield chip(call.state)
    yield element("span", text(shown(call.tool, 120)), class_="tool")
    if call.attempt > 1:
        yield element("span", f"attempt {call.attempt}", class_="again")


def _bar(bar: Bar) -> str:
    letter = element("b", LETTERS[bar.state]) if bar.kind is BarKind.RAN else ""
    kind = " queued" if bar.kind is BarKind.QUEUED else " open" if bar.open_end else ""
    return element("i", letter, class_=f"bar {bar.state.value}{kind}", style=_place(bar))


def _mark(mark: Mark, call: CallView) -> str:
    return element(
        "i",
        element("b", _GLYPHS[mark.kind]),
        class_=f"mark {mark.kind.value} {call.state.value}",
        style=f"left:{percent(mark.at)}",
    )


def _place(bar: Bar) -> str:
    return f"left:{percent(bar.left)};width:{percent(bar.right - bar.left)}"
