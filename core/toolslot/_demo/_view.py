"""The demo on the terminal. Every colour also has its word, so it reads the same without colours."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typing_extensions import assert_never

from toolslot._demo._frameworks import Framework
from toolslot._demo._judge import Action, CallReport
from toolslot._demo._run import DemoReport, run_demo
from toolslot._demo._side import SideRun
from toolslot._demo._story import Stage

#: between the two tables when they fit beside each other
_GAP = 4

_OPENING = (
    "An agent's model asks for eight tool calls in one message: five payments, two reads, and a lookup that "
    "fails. We kill the agent's process in the middle (SIGKILL), resume it in a new one, and let the bank's "
    "ledger count what was paid."
)

_WORDS = (
    ("replayed", "recorded before the kill: handed out again, the tool does not run"),
    ("reconciled", "begun, no record left: the bank is asked first whether it paid"),
    ("run", "never begun, as only three run at a time"),
    ("run again", "begun before the kill: harmless for a read, not for a payment"),
)


def run_and_show(folder: Path, *, framework: Framework, seconds: float, kept: Path | None) -> DemoReport:
    """Run the demo in `folder` and print it to standard output; a terminal sees meanwhile what happens."""
    console = Console(highlight=False)
    console.print(_opening())
    short = {"plain": framework.plain_short, "durable": "toolslot"}
    now: dict[str, str] = {}
    with console.status("") as status:

        def on_step(side: str, what: str) -> None:
            now[short[side]] = what
            status.update("   ".join(f"{name} {now[name]}" for name in sorted(now)))

        report = run_demo(folder, framework=framework, seconds=seconds, on_step=on_step)
    show(report, console, kept)
    return report


def show(report: DemoReport, console: Console, kept: Path | None = None) -> None:
    """Print the whole outcome. `kept` is where the files stay, if anywhere."""
    console.print()
    console.print(_beside_or_below(report, console))
    console.print(_words())
    for part in (_verdict(report), _off_story(report), _how(report)):
        if part:
            console.print(part)
            console.print()
    console.print(_next(report, kept))


def _opening() -> RenderableType:
    return Group(Text("toolslot demo", style="bold"), Text(), Text(_OPENING))


def _beside_or_below(report: DemoReport, console: Console) -> RenderableType:
    """Beside each other, the right one drops the columns that the left one already shows."""
    titles = report.framework
    plain = _block(titles.plain_title, report.plain)
    beside = _block(titles.durable_title, report.durable, named=False)
    widths = [Measurement.get(console, console.options, side).maximum for side in (plain, beside)]
    if sum(widths) + _GAP > console.width:
        return Group(plain, Text(), _block(titles.durable_title, report.durable))
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_row(plain, beside)
    return grid


def _block(title: str, side: SideRun, *, named: bool = True) -> Group:
    pids = f"pid {side.killed_pid} killed after {side.killed_at:.1f} s, resumed as pid {side.resumed_pid}"
    heading = Text.assemble((title, "bold"), "\n", (pids, "dim"), "\n")
    return Group(heading, _table(side, named=named), Text(), _money(side))


def _table(side: SideRun, *, named: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, show_edge=False)
    journal = any(row.before is not None for row in side.report.rows)
    if named:
        table.add_column("", justify="right", style="dim", no_wrap=True)
        table.add_column("call", no_wrap=True)
    for heading in ("journal at kill" if journal else "at the kill", "on resume", "after"):
        table.add_column(heading, no_wrap=True)
    table.add_column("paid", justify="right", no_wrap=True)
    for number, row in enumerate(side.report.rows, start=1):
        name = [Text(str(number)), Text(row.call.label)] if named else []
        table.add_row(*name, _before(row), Text(row.action.value, style=_style(row)), _after(row), _paid(row))
    return table


def _before(row: CallReport) -> Text:
    if row.before is not None:
        return Text(row.before)
    if row.call.pays and row.at_kill is Stage.BEGUN:
        return Text("begun, unpaid")
    return Text(row.at_kill.value)


def _after(row: CallReport) -> Text:
    if not row.answers:
        return Text("lost", style="bold red")
    return Text(row.after or ("failed" if row.answers[-1].failed else "finished"))


def _style(row: CallReport) -> str:
    match row.action:
        case Action.REPLAYED:
            return "green"
        case Action.FOUND | Action.NOT_FOUND:
            return "cyan"
        case Action.RUN:
            return "blue"
        case Action.RUN_AGAIN:
            return "red" if row.twice else "yellow"
        case Action.LOST:
            return "bold red"
        case _:
            assert_never(row.action)


def _paid(row: CallReport) -> Text:
    if not row.call.pays:
        return Text("-", style="dim")
    if row.booked == 1:
        return Text("once", style="green")
    return Text({0: "NEVER", 2: "TWICE"}.get(row.booked, f"{row.booked} TIMES"), style="bold red")


def _money(side: SideRun) -> Text:
    report = side.report
    line = Text(f"{report.payments} payments for {report.invoices} invoices\n")
    line.append(f"{_euros(report.moved)} paid, {_euros(report.owed)} owed")
    if extra := report.moved - report.owed:
        line.append(": ").append(
            f"{_euros(abs(extra))} too {'much' if extra > 0 else 'little'}", style="bold red"
        )
    return line


def _words() -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim")
    for word, meaning in _WORDS:
        grid.add_row(word, meaning)
    return Padding(grid, (1, 0))


def _verdict(report: DemoReport) -> Text:
    twice = [row for row in report.plain.report.rows if row.twice]
    if report.problems:
        line = Text.assemble(("PROMISE BROKEN", "bold red"), ": the ledger disagrees with the promise.")
        for problem in report.problems:
            line.append(f"\n  - {problem}")
        return line
    durable = report.durable.report
    line = Text.assemble(
        ("PROMISE KEPT", "bold green"),
        ": with toolslot every invoice was paid once, no recorded call ran again, no call was lost,"
        " and the model was asked once.",
    )
    if twice:
        line.append(f" Without it, {len(twice)} of {durable.invoices} invoices were paid twice.")
    return line


def _off_story(report: DemoReport) -> Text | None:
    names = {row.call.label for side in (report.plain, report.durable) for row in side.report.off_story}
    if not names:
        return None
    moved = ", ".join(sorted(names))
    return Text(
        f"The kill came at another moment than planned for {moved}; run it again for the whole story."
    )


def _how(report: DemoReport) -> Text:
    """What had to be declared on the durable side."""
    repeats = report.durable.report.repeats_refused
    refused = f" The bank refused {repeats} repeats by it." if repeats else ""
    return Text(
        f"{report.framework.both_run} The durable side declares its reads idempotent, sends each call's key, and gives pay a "
        f"reconciler that asks the bank for that key.{refused}",
        style="dim",
    )


def _next(report: DemoReport, kept: Path | None) -> Text:
    files = (
        f"Files of this run: {kept}"
        if kept
        else "To keep the ledgers and the journal: toolslot demo --keep DIR"
    )
    if report.problems:
        return Text(files)
    return Text.assemble(
        ("Next", "bold"),
        f": {report.framework.change}\n",
        f"      {report.framework.import_line}\n",
        files,
    )


def _euros(cents: int) -> str:
    return f"{cents / 100:,.2f} EUR"
