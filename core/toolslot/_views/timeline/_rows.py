"""One batch of a timeline as HTML: its owners, how many calls ran at once, and a row for each call. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from toolslot._domain._slot import SlotState
from toolslot._text import shown
from toolslot._views import LETTERS, CallView
from toolslot._views.timeline._dense import MANY, dense_paths
from toolslot._views.timeline._facts import batch_summary, spoken, took_text
from toolslot._views.timeline._html import element, percent, text
from toolslot._views.timeline._legend import BOUNDARIES, MARKS, chip
from toolslot._views.timeline._shapes import Bar, BarKind, Boundary, BoundaryKind, Lane, Mark, Row
from toolslot._views.timeline._strip import WORTH_A_STRIP, strip_html


def lane_html(lane: Lane, number: int, first: int, behind: str, *, owners: bool) -> str:
    """The batch as a section.

    Args:
        lane: The batch.
        number: Its place in the run, from 1.
        first: The number of its first call in the run.
        behind: What every batch has in its background.
        owners: Whether to tell who worked on it.
    """
    boundaries = "".join(_line(boundary) for boundary in lane.boundaries)
    rows = [element("li", _owners(lane, number))] if owners else []
    rows += [
        element("li", _call(row, first + i), data_state=row.call.state.value)
        for i, row in enumerate(lane.rows)
    ]
    many = len(lane.rows) >= MANY
    return element(
        "section",
        _heading(lane, number),
        element(
            "div",
            element("div", behind, boundaries, class_="plot", aria_hidden="true"),
            strip_html(lane.strip) if len(lane.rows) >= WORTH_A_STRIP else "",
            _glance(lane) if many else "",
            element("ol", *rows, class_="rows many" if many else "rows"),
            class_="lane",
        ),
        class_="batch",
        aria_labelledby=f"batch-{number}",
    )


def _heading(lane: Lane, number: int) -> str:
    batch = lane.batch
    return element(
        "h2",
        f"Batch {number}",
        element("span", text(shown(batch.batch_id, 90)), class_="id"),
        element("span", text(batch.state.value), class_="pill"),
        id=f"batch-{number}",
    ) + element("p", text(batch_summary(lane)), class_="sum")


def _glance(lane: Lane) -> str:
    """All calls of a large batch in the height of a few rows."""
    paths = dense_paths(lane.rows, 1000, 1000)
    drawn = [
        element(
            "path",
            class_=state.value,
            d=paths[state],
            stroke_width="0.8" if state is SlotState.SUCCEEDED else "2",
        )
        for state in sorted(paths, key=lambda state: state is not SlotState.SUCCEEDED)
    ]
    svg = element("svg", *drawn, viewBox="0 0 1000 1000", preserveAspectRatio="none", aria_hidden="true")
    return element(
        "div",
        element("span", "at a glance", class_="who"),
        element("span", svg, class_="track"),
        element("span", class_="took"),
        class_="strip glance",
    )


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
            BOUNDARIES[boundary.kind][1],
            class_=f"badge {BOUNDARIES[boundary.kind][0]}",
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
    line = element("i", class_=BOUNDARIES[boundary.kind][0], style=f"left:{percent(_badge_place(boundary))}")
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
    yield element("i", str(call.index), class_="n")
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
        element("b", MARKS[mark.kind]),
        class_=f"mark {mark.kind.value} {call.state.value}",
        style=f"left:{percent(mark.at)}",
    )


def _place(bar: Bar) -> str:
    return f"left:{percent(bar.left)};width:{percent(bar.right - bar.left)}"
