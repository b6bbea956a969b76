"""`toolslot show`."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from toolslot._text import quoted
from toolslot._views import CallView, Insights, RunView
from toolslot.cli._ending import Exit, Refused
from toolslot.cli._json import document
from toolslot.cli._opening import reading
from toolslot.cli._options import args_option, journal_option, json_option, reveal_option, run_argument


@click.command()
@run_argument
@journal_option
@click.option("--batch", "batch_id", metavar="ID", help="Only this batch.")
@args_option
@reveal_option
@json_option
def show(
    run_id: str, *, where: str | None, batch_id: str | None, with_args: bool, reveal: bool, as_json: bool
) -> None:
    """Show what each call of RUN did, who ran it, and a timeline.

    Each batch with its owners and one row per call. A narrow terminal has no room for call ids: `--json` has them, and so does a pipe.

    Exit code: 0, 1 when there is no such run or a batch of it is damaged, 2 when a person has to decide about a call.
    """
    with reading(where) as insights:
        run = _narrowed(existing(insights, run_id, reveal=with_args or reveal), batch_id)
    if not reveal:
        run = _without_results(run)
    if as_json:
        click.echo(document(run))
    else:
        from toolslot.cli._run_report import print_run

        print_run(run)
    sys.exit(code_of(run))


def existing(insights: Insights, run_id: str, *, reveal: bool = False) -> RunView:
    """The run.

    Raises:
        Refused: the journal does not hold it.
    """
    run = insights.run(run_id, reveal=reveal)
    if run is None:
        raise Refused(
            f"there is no run {quoted(run_id)} in the journal {insights.location}; it may have been purged. `toolslot runs` lists what is"
            " there."
        )
    return run


def code_of(run: RunView) -> Exit:
    """What the run's state means for the exit code."""
    if run.damaged:
        return Exit.PROBLEM
    return Exit.NEEDS_DECISION if run.pending else Exit.OK


def _narrowed(run: RunView, batch_id: str | None) -> RunView:
    if batch_id is None:
        return run
    batches = tuple(batch for batch in run.batches if batch.batch_id == batch_id)
    if not batches:
        raise Refused(
            f"run {quoted(run.run_id)} has no batch {quoted(batch_id)}; without --batch all are shown."
        )
    return replace(run, batches=batches)


def _without_results(run: RunView) -> RunView:
    """Arguments at most."""
    return replace(
        run,
        batches=tuple(
            replace(batch, calls=tuple(_without_result(call) for call in batch.calls))
            for batch in run.batches
        ),
    )


def _without_result(call: CallView) -> CallView:
    late = tuple(replace(each, result=None, error=None) for each in call.late)
    return replace(call, result=None, error=None, late=late)
