"""`toolslot doctor`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from toolslot.cli._ending import Exit
from toolslot.journal import JournalReport, open_journal


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(path: Path | None, *, as_json: bool) -> None:
    """Examine the journal at PATH without disturbing whoever works on it; nothing is changed.

    PATH defaults to the environment variable TOOLSLOT_HOME, else ./.toolslot.

    Exit code: 0 when the journal is sound, 1 when something is damaged or missing, 3 when it cannot be examined.
    """
    with open_journal(path, read_only=True) as journal:
        report = journal.check()
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2))
    else:
        _print_findings(report)
    sys.exit(Exit.OK if report.sound else Exit.PROBLEM)


def _print_findings(report: JournalReport) -> None:
    click.echo(f"journal {report.path} ({report.journal_id}): {report.batches} batches, {report.rows} rows")
    for problem in report.problems:
        click.echo(f"  DAMAGED  {problem}")
    for note in report.notes:
        click.echo(f"  note     {note}")
    click.echo("sound" if report.sound else f"{len(report.problems)} problems; nothing was changed")
