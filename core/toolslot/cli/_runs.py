"""`toolslot runs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

import click

from toolslot._views import BatchStatus, Insights, RunSummary
from toolslot.cli._ending import Exit
from toolslot.cli._json import document
from toolslot.cli._opening import reading
from toolslot.cli._options import journal_option, json_option


@click.command()
@journal_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show so many at most."
)
@click.option("--all", "everything", is_flag=True, help="Show all, however many.")
@click.option(
    "--state", type=click.Choice([state.value for state in BatchStatus]), help="Only runs in this state."
)
@click.option(
    "--needs-decision",
    is_flag=True,
    help="Only runs with calls of unknown outcome; exit code 2 if there are any.",
)
@json_option
def runs(
    *, where: str | None, limit: int, everything: bool, state: str | None, needs_decision: bool, as_json: bool
) -> None:
    """List the runs, the one with the newest batch first.

    Exit code: 0, or 1 when something is damaged; with --needs-decision 2 when there is such a run.
    """
    with reading(where) as insights:
        matching = _matching(insights, state, needs_decision=needs_decision)
        found = list(matching if everything else islice(matching, limit))
        if as_json:
            click.echo(document(found))
        else:
            _print(found, insights.location, narrowed=state is not None or needs_decision)
    sys.exit(_code(found, needs_decision=needs_decision))


def _matching(insights: Insights, state: str | None, *, needs_decision: bool) -> Iterator[RunSummary]:
    for run in insights.each_run():
        if (state is None or run.state.value == state) and (run.pending or not needs_decision):
            yield run


def _code(found: list[RunSummary], *, needs_decision: bool) -> Exit:
    if any(run.damaged for run in found):
        return Exit.PROBLEM
    return Exit.NEEDS_DECISION if needs_decision and found else Exit.OK


def _print(found: list[RunSummary], location: str, *, narrowed: bool) -> None:
    from toolslot.cli._console import BATCH_STYLES, counted, make_console, moment_text, name, say, table

    console = make_console()
    if not found:
        none = "no such run" if narrowed else "no run"
        say(console, f"{none} in {location}" if location else none)
        return
    rows = table(
        "run", "state", "calls", "batches", "to decide", "last activity (UTC)", right=("batches", "to decide")
    )
    for run in found:
        state = name(
            "damaged" if run.damaged else run.state.value,
            "bold red" if run.damaged else BATCH_STYLES[run.state],
        )
        rows.add_row(
            name(run.run_id),
            state,
            counted(run.counts),
            str(run.batches),
            str(run.pending or ""),
            moment_text(run.last_activity),
        )
    console.print(rows)
