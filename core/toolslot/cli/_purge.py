"""`toolslot purge`."""

from __future__ import annotations

import re

import click

from toolslot._text import quoted, shown
from toolslot._views import BatchStatus, RunView, span_text
from toolslot.cli._ending import Refused
from toolslot.cli._numbers import count
from toolslot.cli._opening import opened, reading
from toolslot.cli._options import by_option, journal_option, operator, optional_run_argument
from toolslot.cli._show import existing
from toolslot.journal import purge_older, purge_run

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def _age(given: str) -> float:
    """Seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)", given.strip())
    if match is None or not float(match[1]):
        raise click.BadParameter(
            "give a number and a unit, such as 30d, 12h, 90min or 2w.", param_hint="--older"
        )
    return float(match[1]) * _UNITS[match[2]]


@click.command()
@optional_run_argument
@journal_option
@click.option(
    "--older",
    type=_age,
    metavar="AGE",
    help="Finished runs whose batches are all older than this: 30d, 12h, 2w.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be forgotten.")
@click.option(
    "--force", is_flag=True, help="Also a RUN that is not finished; what it did is no longer known then."
)
@click.option("--why", metavar="TEXT", help="The reason; it is journaled.")
@by_option
def purge(
    run_id: str | None,
    *,
    where: str | None,
    older: float | None,
    dry_run: bool,
    force: bool,
    why: str | None,
    by: str | None,
) -> None:
    """Forget RUN, or with --older every finished run of that age.

    Calls, arguments and results are deleted. A resume of a forgotten run is refused; it is never taken for a new one. A run
    that a living process works on is never forgotten.

    Exit code: 0, or 1 when it was refused.
    """
    if (run_id is None) == (older is None):
        raise click.UsageError("name a RUN, or an age with --older.")
    reason = f"{why or 'purged'} ({operator(by)})"
    if run_id is not None:
        _purge_one(run_id, where, reason, dry_run=dry_run, force=force)
    elif older is not None:
        _purge_older(older, where, reason, dry_run=dry_run)


def _purge_one(run_id: str, where: str | None, why: str, *, dry_run: bool, force: bool) -> None:
    with reading(where) as insights:
        run = existing(insights, run_id)
    if not force and (run.damaged or run.state not in (BatchStatus.FINISHED, BatchStatus.CLOSED)):
        raise Refused(_unfinished(run))
    if not dry_run:
        with opened(where, read_only=False) as journal:
            purge_run(journal, run_id, why=why)
    click.echo(f"{_done(dry_run)}{shown(run_id)}: {_of(run)}")


def _of(run: RunView) -> str:
    return f"{count(len(run.batches), 'batch', 'batches')}, {count(len(run.calls), 'call')}"


def _unfinished(run: RunView) -> str:
    undecided = f", {len(run.pending)} of its calls need a decision" if run.pending else ""
    state = "damaged" if run.damaged else run.state.value
    return (
        f"run {quoted(run.run_id)} is {state}{undecided}. Once it is forgotten, what it did cannot be found out. Resume or"
        " abandon it first, or say --force."
    )


def _purge_older(age: float, where: str | None, why: str, *, dry_run: bool) -> None:
    with reading(where):
        pass  # where there is no journal, none must be made by opening it to write
    with opened(where, read_only=dry_run) as journal:
        retention = purge_older(journal, age, why=why, dry_run=dry_run)
    for run_id in retention.purged:
        click.echo(f"{_done(dry_run)}{shown(run_id)}")
    for run_id, reason in retention.kept:
        click.echo(f"kept       {shown(run_id)}: {shown(reason, 1000)}")
    click.echo(
        f"{len(retention.purged)} {'would be ' if dry_run else ''}purged, {len(retention.kept)} older than {span_text(age)} stay"
    )


def _done(dry_run: bool) -> str:
    return "would go   " if dry_run else "purged     "
