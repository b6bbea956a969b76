"""`toolslot takeover` and `toolslot abandon`: moving batches on, and ending them."""

from __future__ import annotations

import click

from toolslot import _operator
from toolslot._domain._slot import BatchKey
from toolslot._text import quoted, shown
from toolslot.cli._ending import Refused
from toolslot.cli._opening import opened, reading
from toolslot.cli._options import by_option, journal_option, operator, run_argument, why_option
from toolslot.cli._show import existing


@click.command()
@run_argument
@journal_option
@click.option(
    "--force",
    is_flag=True,
    help="Also from an owner that is or may be alive: nothing it writes counts any more.",
)
@why_option
@by_option
def takeover(run_id: str, *, where: str | None, force: bool, why: str, by: str | None) -> None:
    """Take the batches of RUN from the process that owns them.

    The next resume goes on with them. What was running becomes unknown and needs a decision, unless its tool's policy settles it.
    Nothing is started here.

    Exit code: 0, or 1 when it was refused: an owner lives and --force is not given.
    """
    with reading(where) as insights:
        existing(insights, run_id)
    with opened(where, read_only=False) as journal:
        taken = _operator.takeover(journal, run_id, by=operator(by), why=why, force=force)
    if not taken:
        click.echo(f"no batch of run {quoted(run_id)} has an owner: nothing was changed.")
    for key in taken:
        click.echo(f"batch {_batch(key)} was taken over and let go. Resume the agent: it goes on with it.")


@click.command()
@run_argument
@journal_option
@click.option(
    "--batch", "batch_ids", metavar="ID", multiple=True, help="Only this batch; may be given several times."
)
@why_option
@by_option
def abandon(run_id: str, *, where: str | None, batch_ids: tuple[str, ...], why: str, by: str | None) -> None:
    """Close the open batches of RUN: they run nothing any more.

    For what a fork or a new run has superseded. Results that are recorded still replay; a call without one is refused when the agent comes
    to it.

    Exit code: 0, or 1 when it was refused: an owner is or may be alive.
    """
    with reading(where) as insights:
        known = {batch.batch_id for batch in existing(insights, run_id).batches}
    if missing := [each for each in batch_ids if each not in known]:
        raise Refused(f"run {quoted(run_id)} has no batch {quoted(missing[0])}: nothing was changed.")
    with opened(where, read_only=False) as journal:
        closed = _operator.abandon(journal, run_id, by=operator(by), why=why, batch_ids=batch_ids or None)
    if not closed:
        click.echo(f"run {quoted(run_id)} has no open batch: nothing was changed.")
    for key in closed:
        click.echo(f"batch {_batch(key)} is closed: nothing of it runs any more.")


def _batch(key: BatchKey) -> str:
    return shown(key.batch_id)
