"""`toolslot export`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import IO

import click

from toolslot._errors import JournalCorrupt
from toolslot._views import Insights
from toolslot.cli._completing import complete_runs
from toolslot.cli._ending import Exit
from toolslot.cli._json import line, plain
from toolslot.cli._opening import reading
from toolslot.cli._options import journal_option, reveal_option
from toolslot.cli._show import existing


@click.command()
@click.argument("run_ids", metavar="[RUN]...", nargs=-1, shell_complete=complete_runs)
@journal_option
@click.option("--jsonl", is_flag=True, help="One JSON object a line; the only form there is.")
@click.option(
    "-o",
    "--output",
    type=click.File("w", encoding="ascii", lazy=True),
    default="-",
    metavar="FILE",
    help="Default: standard output.",
)
@reveal_option
def export(
    run_ids: tuple[str, ...], *, where: str | None, jsonl: bool, output: IO[str], reveal: bool
) -> None:
    """Write every batch and call as JSON, one object a line.

    Of the RUNs, or of all runs. Each line has a `type`: "batch", "call", or "damaged" for a batch that cannot be read. Times are
    seconds since 1970. The journal is read some dozens of batches at a time, so it may be larger than
    memory; a batch is one moment of it, the whole is not.

    Exit code: 0, or 1 when a batch is damaged or a run is not there.
    """
    del jsonl  # said for those who read the command
    damaged = False
    with reading(where) as insights:
        for run_id in run_ids:
            existing(insights, run_id)
        for record in _records(insights, run_ids, reveal=reveal):
            damaged = damaged or record["type"] == "damaged"
            output.write(line(record) + "\n")
    sys.exit(Exit.PROBLEM if damaged else Exit.OK)


def _records(insights: Insights, run_ids: tuple[str, ...], *, reveal: bool) -> Iterator[dict[str, object]]:
    for run_id in run_ids or (None,):
        for key, batch in insights.batches(insights.keys(run_id), reveal=reveal):
            if isinstance(batch, JournalCorrupt):
                yield {
                    "type": "damaged",
                    "run_id": key.run_id,
                    "batch_id": key.batch_id,
                    "problem": str(batch),
                }
                continue
            yield _typed("batch", replace(batch, calls=()), calls=len(batch.calls))
            for call in batch.calls:
                yield _typed("call", call)


def _typed(kind: str, view: object, **more: object) -> dict[str, object]:
    record = plain(view)
    assert isinstance(record, dict), "a view is an object in JSON"
    return {"type": kind, **record, **more}
