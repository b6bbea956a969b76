"""Makes docs/images/before-after.svg: the crash story of `toolslot demo`, played by the plain framework and by toolslot.

Two real LangGraph agents are killed with SIGKILL and resumed. The upper half is drawn from the ledger of the bank, which heard every call
of the plain agent; the lower one from toolslot's journal, with what the ledger says was paid. Run it with `make pictures`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from toolslot._demo._bank import Point
from toolslot._demo._frameworks import FRAMEWORKS
from toolslot._demo._ledger import Ledger, LedgerCopy, Request
from toolslot._demo._processes import Agents, Deadline
from toolslot._demo._side import Side, SideRun
from toolslot._demo._story import AT_ONCE, CALLS, RequestKind, StoryCall
from toolslot._domain._slot import Handover, Reason, SlotState
from toolslot._views import AttemptView, BatchStatus, BatchView, CallView, Insights, OwnerView, RunView
from toolslot._views.timeline._call_row import Frame
from toolslot._views.timeline._figure import figure_body, legend
from toolslot._views.timeline._html import element, text
from toolslot._views.timeline._layout import timeline
from toolslot._views.timeline._svg import COLORS, svg
from toolslot.journal import OwnerState, open_journal

TARGET = Path(__file__).parent / "images" / "before-after.svg"

#: how long the bank takes: long enough to be seen
SLOW: dict[Point, float] = {
    ("main", RequestKind.ENTER): 0.5,
    ("EUR-USD", RequestKind.ENTER): 0.3,
    ("INV-404", RequestKind.ENTER): 0.25,
    ("INV-101", RequestKind.PAY): 0.35,
    ("INV-102", RequestKind.PAY): 0.45,
    ("INV-103", RequestKind.PAY): 0.3,
    ("INV-104", RequestKind.PAY): 0.4,
    ("INV-105", RequestKind.PAY): 0.35,
}
_WIDTH, _MARGIN = 800.0, 20.0
_INK, _MUTED, _EDGE = "#1f2328", "#59636e", "#d1d9e0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """One side, with the wall-clock second of its kill and what the bank wrote down."""

    side: SideRun
    killed: float
    ledger: LedgerCopy
    folder: Path


def main() -> None:
    """Play both sides, one after the other, and write the picture."""
    with tempfile.TemporaryDirectory(prefix="toolslot-pictures-", ignore_cleanup_errors=True) as name:
        plain, durable = (play(side, Path(name) / side) for side in ("plain", "durable"))
        with closing(open_journal(durable.folder / "journal", read_only=True)) as journal:
            insights = Insights(journal)
            run = insights.run(insights.run_ids()[0])
        assert run is not None, "the journal holds the run that was just played"
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(picture(plain, durable, run), encoding="utf-8")


def play(name: str, folder: Path) -> Played:
    folder.mkdir()
    began = time.time()
    with Agents() as agents:
        side = Side(
            name, folder, FRAMEWORKS["langgraph"], agents, Deadline(120.0), lambda *_: None, slow=SLOW
        )
        done = side.run()
    if done.report.off_story:
        raise SystemExit("the kill came at another moment than the story says; run it again")
    with closing(Ledger(folder / "ledger.db")) as ledger:
        return Played(side=done, killed=began + done.killed_at, ledger=ledger.copy(), folder=folder)


# --- the plain side, as the bank heard it -------------------------------------------------------------------------------


def plain_run(played: Played) -> RunView:
    """The plain agent's calls in the form in which the journal shows those of the durable one."""
    requests, killed = played.ledger.requests, played.killed
    before = [time for r in requests for time in (r.at, r.answered_at) if time is not None and time <= killed]
    after = [time for r in requests for time in (r.at, r.answered_at) if time is not None and time > killed]
    resumed = min(r.at for r in requests if r.at > killed)
    calls = tuple(plain_call(index, call, requests, killed) for index, call in enumerate(CALLS))
    owners = (
        _owner(1, played.side.killed_pid, min(before), killed, resumed, died=True),
        _owner(2, played.side.resumed_pid, resumed, max(after), None, died=False),
    )
    batch = BatchView(
        run_id="plain",
        batch_id="plain",
        adapter="core",
        state=BatchStatus.CLOSED,
        epoch=2,
        created=min(before),
        ended_at=max(after),
        owner_state=OwnerState.DEAD,
        held=False,
        closed=True,
        calls=calls,
        owners=owners,
    )
    return RunView(run_id="plain", batches=(batch,))


def plain_call(index: int, call: StoryCall, requests: tuple[Request, ...], killed: float) -> CallView:
    mine = [request for request in requests if request.ref == call.ref]
    begun = [request.at for request in mine if request.kind is RequestKind.ENTER]
    attempts = tuple(
        _attempt(number, start, [r for r in mine if start <= r.at < end], killed)
        for number, (start, end) in enumerate(zip(begun, [*begun[1:], float("inf")], strict=True), start=1)
    )
    last = attempts[-1]
    return CallView(
        run_id="plain",
        batch_id="plain",
        index=index,
        tool=call.tool,
        call_id=call.call_id,
        state=last.state,
        version=0,
        attempt=len(attempts),
        generation=1,
        idempotency_key="",
        started_at=last.started_at,
        ended_at=last.ended_at,
        attempts=attempts,
    )


def _attempt(number: int, start: float, requests: list[Request], killed: float) -> AttemptView:
    answered = [r.answered_at for r in requests if r.answered_at is not None]
    lost = start < killed and (len(answered) < len(requests) or max(answered) > killed)
    failed = any((request.status or 0) >= 400 for request in requests)
    state = SlotState.UNKNOWN if lost else SlotState.FAILED if failed else SlotState.SUCCEEDED
    end = killed if lost else max(answered)
    return AttemptView(
        generation=1,
        number=number,
        epoch=1 if start < killed else 2,
        state=state,
        started_at=start,
        ended_at=end,
        until=end,
        reason=Reason.OWNER_DIED if lost else None,
    )


def _owner(
    epoch: int, pid: int, since: float, last_seen: float, until: float | None, *, died: bool
) -> OwnerView:
    return OwnerView(
        epoch=epoch,
        host="",
        pid=pid,
        process_started=since,
        since=since,
        last_seen=last_seen,
        until=until,
        how=Handover.DIED if epoch > 1 else Handover.RESERVED,
        why="",
        died=died,
        limit=AT_ONCE,
    )


# --- the picture --------------------------------------------------------------------------------------------------------


def picture(plain: Played, durable: Played, run: RunView) -> str:
    before, after = labelled(plain_run(plain)), labelled(run)
    upper, half = panel("LangGraph's ToolNode", plain, before)
    lower, other = panel("The same graph with toolslot", durable, after)
    height = half + other + 3 * _MARGIN + 26
    ground = element(
        "rect",
        x="0.5",
        y="0.5",
        width=f"{_WIDTH - 1:g}",
        height=f"{height - 1:g}",
        rx="8",
        fill="#ffffff",
        stroke=_EDGE,
    )
    parts = [
        element("g", upper, transform=f"translate({_MARGIN:g} {_MARGIN:g})"),
        element(
            "line",
            x1="0",
            x2=f"{_WIDTH:g}",
            y1=f"{half + 1.5 * _MARGIN:g}",
            y2=f"{half + 1.5 * _MARGIN:g}",
            stroke=_EDGE,
        ),
        element("g", lower, transform=f"translate({_MARGIN:g} {half + 2 * _MARGIN:g})"),
        element(
            "g",
            legend([timeline(before), timeline(after)], 0),
            transform=f"translate({_MARGIN:g} {height - 30:g})",
        ),
    ]
    label = "The same agent killed and resumed: with the plain framework payments are made twice, with toolslot once"
    return (
        svg(ground, element("g", *parts, fill=_INK, color=_INK), width=_WIDTH, height=height, label=label)
        + "\n"
    )


def labelled(run: RunView) -> RunView:
    """The run with its calls named as in the story: whom they pay."""
    (batch,) = run.batches
    calls = tuple(replace(call, tool=CALLS[call.index].label) for call in batch.calls)
    return replace(run, batches=(replace(batch, calls=calls),))


def panel(title: str, played: Played, run: RunView) -> tuple[str, float]:
    body, height = figure_body(
        timeline(run), Frame(width=_WIDTH - 2 * _MARGIN, who=150.0, took=84.0, note=paid(played))
    )
    money = played.side.report
    extra = money.moved - money.owed
    told = f"killed with SIGKILL, resumed: {money.payments} payments for {money.invoices} invoices"
    verdict = f"{extra / 100:,.2f} EUR paid too much" if extra else "every invoice paid once"
    head = [
        element("text", text(title), x="0", y="14", font_size="15", font_weight="600"),
        element("text", text(told), x="0", y="33", fill=_MUTED),
        element(
            "text",
            text(verdict),
            x=f"{_WIDTH - 2 * _MARGIN:g}",
            y="33",
            text_anchor="end",
            font_weight="600",
            fill=COLORS[SlotState.FAILED if extra else SlotState.SUCCEEDED],
        ),
    ]
    return "".join([*head, element("g", body, transform="translate(0 44)")]), height + 44


def paid(played: Played) -> Callable[[CallView], tuple[str, bool]]:
    """What is written beside each call: how often the bank was asked to pay and did, or how often the tool ran."""
    rows = dict(enumerate(played.side.report.rows))

    def note(call: CallView) -> tuple[str, bool]:
        row = rows[call.index]
        times = row.booked if row.call.pays else row.entered
        word = {1: "once", 2: "twice"}.get(times, f"{times} times")
        return (f"paid {word}", times != 1) if row.call.pays else (f"ran {word}", False)

    return note


if __name__ == "__main__":
    main()
