"""A batch's timeline in characters: one bar per call on a common axis. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text

from toolslot._text import shown
from toolslot._views import LETTERS, RunView, coarse_span_text, span_text
from toolslot._views.timeline._layout import timeline
from toolslot._views.timeline._shapes import BarKind, BoundaryKind, Lane, MarkKind, Row, Timeline
from toolslot.cli._console import STATE_STYLES

#: the names of tools take at most so much
_NAME = 18
_LEAST = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ink:
    """The characters of a figure."""

    queued: str
    ran: str
    goes_on: str
    died: str
    handed_over: str
    decided: str
    spared: str
    cut: str


_UNICODE = _Ink(queued="░", ran="█", goes_on="▶", died="┃", handed_over="┊", decided="◆", spared="○", cut="≈")
_ASCII = _Ink(queued=".", ran="=", goes_on=">", died="|", handed_over=":", decided="*", spared="o", cut="~")


def drawn(run: RunView, width: int, *, ascii_only: bool = False) -> Iterator[Text]:
    """The lines of the figure, each at most `width` columns; for each batch its calls, then the axis and what the marks mean."""
    ink = _ASCII if ascii_only else _UNICODE
    figure = timeline(run)
    labels = min(max((len(shown(call.tool, _NAME)) for call in run.calls), default=0), _NAME) + 8
    room = max(width - labels - 1, _LEAST)
    for lane in figure.lanes:
        for row in lane.rows:
            yield Text.assemble(_label(row, labels), _bar(row, lane, figure, room, ink))
    yield Text.assemble(" " * labels, _axis(figure, room, ink))
    for lane in figure.lanes:
        yield from _meanings(lane, ink, labels)


def _label(row: Row, width: int) -> Text:
    call = row.call
    label = Text.assemble(
        f"{call.index:>4} ", (LETTERS[call.state], STATE_STYLES[call.state]), f" {shown(call.tool, _NAME)}"
    )
    label.truncate(width - 1)
    label.pad_right(width - label.cell_len)
    return label


def _bar(row: Row, lane: Lane, figure: Timeline, room: int, ink: _Ink) -> Text:
    cells: list[tuple[str, str]] = [(" ", "")] * room
    for cut in figure.scale.cuts:
        cells[_column((cut.left + cut.right) / 2, room)] = (ink.cut, "dim")
    for boundary in lane.boundaries:
        died = boundary.kind is BoundaryKind.DIED
        cells[_column(boundary.at, room)] = (ink.died, "bold red") if died else (ink.handed_over, "dim")
    for bar in row.bars:
        queued = bar.kind is BarKind.QUEUED
        left, right = _column(bar.left, room), _column(bar.right, room)
        style = STATE_STYLES[bar.state]
        for column in range(left, max(right, left + 1)):
            cells[column] = (ink.queued, "dim") if queued else (ink.ran, style)
        if bar.open_end:
            cells[max(right - 1, left)] = (ink.goes_on, style)
    for mark in row.marks:
        if mark.kind is MarkKind.DECIDED:
            cells[_column(mark.at, room)] = (ink.decided, "bold")
        elif mark.kind is not MarkKind.REPLAYED:
            cells[_column(mark.at, room)] = (ink.spared, STATE_STYLES[row.call.state])
    return Text.assemble(*_merged(cells))


def _merged(cells: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Neighbours of one style as one."""
    for style, group in groupby(cells, key=lambda cell: cell[1]):
        yield "".join(character for character, _ in group), style


def _column(place: float, room: int) -> int:
    return min(max(round(place * (room - 1)), 0), room - 1)


def _axis(figure: Timeline, room: int, ink: _Ink) -> Text:
    """From the first moment to the last; where nothing happened for long, how long."""
    cells = ["-" if ink is _ASCII else "─"] * room
    end = f" {span_text(figure.end - figure.begin)}"
    free = 1
    for cut in figure.scale.cuts:
        words = f"{ink.cut}{coarse_span_text(cut.end - cut.begin)}{ink.cut}"
        at = min(_column(cut.left, room), room - len(words) - len(end))
        if at >= free:
            cells[at : at + len(words)] = words
            free = at + len(words) + 1
    cells[0] = "0"
    cells[room - len(end) :] = end
    return Text("".join(cells), style="dim")


def _meanings(lane: Lane, ink: _Ink, indent: int) -> Iterator[Text]:
    for boundary in lane.boundaries:
        if boundary.kind is not BoundaryKind.LET_GO:
            died = boundary.kind is BoundaryKind.DIED
            mark = (ink.died, "bold red") if died else (ink.handed_over, "dim")
            yield Text.assemble(" " * indent, mark, f" {boundary.text}")
