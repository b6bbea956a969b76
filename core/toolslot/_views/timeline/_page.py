"""A run as one HTML page that needs nothing else: no server, no other file, no network. Pure, but for its own style and script."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import accumulate

from toolslot._text import shown
from toolslot._views import CallView, OwnerView, RunView, date_text, span_text, time_text
from toolslot._views.timeline._facts import call_facts, owner_facts, run_summary, state_text
from toolslot._views.timeline._html import element, percent, text
from toolslot._views.timeline._layout import timeline
from toolslot._views.timeline._legend import legend_html
from toolslot._views.timeline._rows import lane_html
from toolslot._views.timeline._shapes import Timeline
from toolslot._views.timeline._ticks import Ticks, ticks

#: what the axis measures in pixels, at least, on screens of these kinds; the style says where one ends and the next begins
_SCREENS = {"wide": 740.0, "medium": 420.0, "narrow": 285.0}


def page(run: RunView) -> str:
    """The run as an HTML document. It shows arguments and results only if the view was read with `reveal=True`."""
    style, script = _file("page.css"), _file("page.js")
    drawn = timeline(run)
    head = element(
        "head",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{text(_policy(script))}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        element("title", text(f"{shown(run.run_id, 80)} · toolslot")),
        element("style", style),
    )
    body = element(
        "body",
        _header(run),
        *_notes(run),
        legend_html(drawn),
        element("main", *_lanes(drawn)),
        _table(run),
        _footer(run),
        '<dl id="tip" class="facts" aria-hidden="true"></dl>',
        element("script", _json(_facts(run)), type="application/json", id="facts"),
        element("script", script),
    )
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


@cache
def _file(name: str) -> str:
    return files("toolslot._views.timeline").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Nothing is loaded and nothing runs but the page's own script, whatever a text may hold."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _json(value: object) -> str:
    """JSON that cannot end the script element it stands in."""
    dumped = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return dumped.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _facts(run: RunView) -> dict[str, list[str]]:
    """By the number of a row: its title, then labels and texts in turn."""
    found: dict[str, list[str]] = {}
    number = 0
    for place, batch in enumerate(run.batches, start=1):
        owners = [part for owner in batch.owners for fact in owner_facts(owner) for part in fact]
        found[f"owners-{place}"] = [f"Batch {place}: who worked on it", *owners]
        for call in batch.calls:
            title = f"{call.index} {shown(call.tool)}"
            found[str(number)] = [title, *(part for fact in call_facts(batch, call) for part in fact)]
            number += 1
    return found


# --- above and below ----------------------------------------------------------------------------------------------------


def _header(run: RunView) -> str:
    button = '<button class="theme" id="theme" type="button" hidden>Dark theme</button>'
    return element(
        "header",
        element(
            "div",
            element("div", "toolslot · run", class_="eyebrow"),
            element("h1", text(shown(run.run_id))),
            element("p", text(run_summary(run)), class_="sum"),
        ),
        button,
    )


def _notes(run: RunView) -> Iterator[str]:
    if run.pending:
        names = ", ".join(f"{call.index} {shown(call.tool, 40)}" for call in run.pending[:5])
        more = f" and {len(run.pending) - 5} more" if len(run.pending) > 5 else ""
        yield element(
            "p",
            text(
                f"It is not known whether {names}{more} had an effect. On resume the policy of the tool decides, or a person does."
            ),
            class_="note",
        )
    for problem in run.damaged:
        yield element("p", text(f"A batch cannot be read: {shown(problem, 500)}"), class_="note")


def _footer(run: RunView) -> str:
    read = f"Read {date_text(run.read_at)} {time_text(run.read_at)} UTC. " if run.read_at is not None else ""
    return element("footer", text(f"{read}All times are UTC."))


# --- the lanes ----------------------------------------------------------------------------------------------------------


def _lanes(drawn: Timeline) -> Iterator[str]:
    labels = {name: ticks(drawn.scale, width) for name, width in _SCREENS.items()}
    for name, one in labels.items():
        yield _axis(one, name)
    behind = _behind(drawn, labels["wide"])
    first = accumulate((len(lane.rows) for lane in drawn.lanes), initial=0)
    process: tuple[str, int, float] | None = None
    for number, (lane, begin) in enumerate(zip(drawn.lanes, first, strict=False), start=1):
        owners = lane.batch.owners
        same = len(owners) == 1 and not lane.boundaries and _process(owners[0]) == process
        process = _process(owners[-1]) if owners else None
        yield lane_html(lane, number, begin, behind, owners=bool(owners) and not same)


def _process(owner: OwnerView) -> tuple[str, int, float]:
    return owner.host, owner.pid, owner.process_started


def _axis(labels: Ticks, name: str) -> str:
    lines = [(label, "clock") for label in labels.clock] + [(label, "off") for label in labels.offsets]
    shown_labels = [
        element(
            "span", text(label.text), class_=f"{line} {label.anchor.value}", style=f"left:{percent(label.at)}"
        )
        for label, line in lines
    ]
    return element(
        "div", element("div", *shown_labels, class_="scale"), class_=f"axis {name}", aria_hidden="true"
    )


def _behind(drawn: Timeline, labels: Ticks) -> str:
    grid = [element("i", class_="grid", style=f"left:{percent(place)}") for place in labels.grid]
    cuts = [
        element("i", class_="cut", style=f"left:{percent(cut.left)};width:{percent(cut.right - cut.left)}")
        for cut in drawn.scale.cuts
    ]
    return "".join([*grid, *cuts])


# --- the table ----------------------------------------------------------------------------------------------------------

_COLUMNS = (
    "batch",
    "call",
    "tool",
    "state",
    "attempts",
    "queued",
    "started",
    "waited",
    "took",
    "replayed",
    "error",
)


def _table(run: RunView) -> str:
    head = element("tr", *(element("th", column, scope="col") for column in _COLUMNS))
    rows = (
        element("tr", *(element("td", text(cell)) for cell in _cells(place, call)))
        for place, batch in enumerate(run.batches, start=1)
        for call in batch.calls
    )
    return element(
        "details",
        element("summary", "All calls as a table"),
        element(
            "div",
            element("table", element("thead", head), element("tbody", *rows)),
            class_="scroll",
            tabindex="0",
            role="region",
            aria_label="Table of all calls",
        ),
        class_="table",
    )


def _cells(place: int, call: CallView) -> tuple[str, ...]:
    return (
        str(place),
        str(call.index),
        shown(call.tool, 120),
        state_text(call),
        str(call.attempt),
        "" if call.queued_at is None else time_text(call.queued_at),
        "" if call.started_at is None else time_text(call.started_at),
        "" if call.queued is None else span_text(call.queued),
        "" if call.latency is None else span_text(call.latency),
        "yes" if call.replayed else "",
        "" if call.error_type is None else shown(call.error_type),
    )
