"""A run as plain text, for terminals and for notebooks that show no figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from toolslot._domain._slot import SlotState
from toolslot._text import shown
from toolslot._views import LETTERS, RunView, repeated_text
from toolslot._views.timeline._facts import batch_summary, run_summary, took_text
from toolslot._views.timeline._layout import timeline
from toolslot._views.timeline._shapes import BarKind, BoundaryKind, Lane, MarkKind, Row

#: characters of a name and of the time axis
_NAME, _TRACK = 22, 40
#: of a larger batch, so many calls
_MOST = 40

_MARKS = {
    MarkKind.REPLAYED: "<",
    MarkKind.DECIDED: "*",
    MarkKind.DEDUPLICATED: "o",
    MarkKind.REFUSED: "x",
}


def plain(run: RunView) -> str:
    """The run in lines of at most about 90 characters; nothing in it can move a cursor or turn the text around."""
    lines = [f"{shown(run.run_id, 60)}: {run_summary(run)}"]
    for number, lane in enumerate(timeline(run).lanes, start=1):
        lines += ["", f"batch {number} {lane.batch.state.value}: {batch_summary(lane)}", *_lane(lane)]
    lines += [f"a batch cannot be read: {shown(problem, 300)}" for problem in run.damaged]
    return "\n".join(lines)


def _lane(lane: Lane) -> Iterator[str]:
    deaths = [round(b.at * (_TRACK - 1)) for b in lane.boundaries if b.kind is BoundaryKind.DIED]
    for row in lane.rows[:_MOST]:
        call = row.call
        words = [took_text(call), f"attempt {call.attempt}" if call.attempt > 1 else ""]
        words += [f"result of {shown(str(call.result_of), 60)}" if call.result_of is not None else ""]
        words += [repeated_text(call.repeats) if call.repeats else ""]
        words += ["replayed" if call.replayed else "", "decided" if call.decision is not None else ""]
        told = ", ".join(word for word in words if word)
        yield f"{call.index:>4} {LETTERS[call.state]} {shown(call.tool, _NAME):<{_NAME}} |{_track(row, deaths)}| {told}"
    if len(lane.rows) > _MOST:
        yield f"     and {len(lane.rows) - _MOST:,} more calls"


def _track(row: Row, deaths: list[int]) -> str:
    """`.` it waited, `=` it was at work, `?` unknown; `X` its owner died, `<` replayed, `*` decided, `o` another's result, `x` refused."""
    cells = [" "] * _TRACK
    for place in deaths:
        cells[place] = "X"
    for bar in row.bars:
        sign = "." if bar.kind is BarKind.QUEUED else "?" if bar.state is SlotState.UNKNOWN else "="
        first, last = round(bar.left * (_TRACK - 1)), round(bar.right * (_TRACK - 1))
        for place in range(first, last + 1):
            if cells[place] in " .":
                cells[place] = sign
    for mark in row.marks:
        cells[round(mark.at * (_TRACK - 1))] = _MARKS[mark.kind]
    return "".join(cells)
