"""`toolslot watch`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import click

from toolslot._domain._slot import BatchKey
from toolslot._views import BatchStatus, BatchView
from toolslot.cli._ending import Exit
from toolslot.cli._json import line
from toolslot.cli._opening import reading
from toolslot.cli._options import journal_option, json_option, optional_run_argument
from toolslot.cli._watching import Watcher


@click.command()
@optional_run_argument
@journal_option
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    "--until-idle", is_flag=True, help="End when nothing runs; exit code 2 if a call needs a decision then."
)
@json_option
def watch(run_id: str | None, *, where: str | None, interval: float, until_idle: bool, as_json: bool) -> None:
    """Watch the batches that are worked on, until Ctrl-C.

    Of RUN, or of all runs. A terminal shows a live table; elsewhere each change is one line, with --json an object with the batch. The
    journal is only read, so no agent waits for it.

    Exit code: 0; with --until-idle 2 when a batch that was watched was left with calls that need a decision.
    """
    with reading(where) as insights, suppress(KeyboardInterrupt):
        watcher = Watcher(insights, run_id)
        looks = _looks(watcher, interval, until_idle=until_idle)
        if as_json:
            _print_json(looks)
        else:
            _show(looks, insights.location)
        sys.exit(Exit.NEEDS_DECISION if until_idle and watcher.undecided else Exit.OK)


def _looks(watcher: Watcher, interval: float, *, until_idle: bool) -> Iterator[tuple[BatchView, ...]]:
    """What is seen at each look: batches that are worked on, and those that were at the look before."""
    while True:
        seen = watcher.look()
        yield seen
        if until_idle and not any(batch.state is BatchStatus.RUNNING for batch in seen):
            return
        time.sleep(interval)


def _print_json(looks: Iterator[tuple[BatchView, ...]]) -> None:
    """A line for each batch that is not as it was at the look before."""
    before: dict[BatchKey, BatchView] = {}
    for seen in looks:
        for batch in seen:
            if before.get(batch.key) != batch:
                before[batch.key] = batch
                click.echo(line(batch))


def _show(looks: Iterator[tuple[BatchView, ...]], location: str) -> None:
    from rich.live import Live

    from toolslot.cli._console import make_console, say
    from toolslot.cli._watch_report import changes, picture

    console = make_console()
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            for seen in looks:
                live.update(picture(seen, location), refresh=True)
        return
    told: dict[tuple[str, str], str] = {}
    for seen in looks:
        for text in changes(seen, told):
            say(console, text)
        sys.stdout.flush()
