"""`toolslot doctor`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from toolslot.cli._ending import Exit
from toolslot.cli._findings_view import show_repair, show_report, show_salvage
from toolslot.cli._options import journal_option
from toolslot.journal._disk._place import resolve
from toolslot.journal._doctor._diagnosis import diagnose
from toolslot.journal._doctor._repair import repair
from toolslot.journal._doctor._salvage import salvage
from toolslot.journal._open import default_encryption, default_path


@click.command()
@click.argument("path", required=False, type=click.Path())
@journal_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--repair", "repairing", is_flag=True, help="Repair what can be repaired without guessing.")
@click.option(
    "--salvage",
    "target",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Copy every sound batch into a new journal in DIR, and list what was lost.",
)
def doctor(
    path: str | None, *, where: str | None, as_json: bool, repairing: bool, target: Path | None
) -> None:
    """Examine the journal at PATH, also while it is worked on.

    Without an option it only reads, beside agents at work. Without PATH, it is where --journal says, else the environment
    variable TOOLSLOT_HOME, else ./.toolslot. With the keys of an encrypted journal in TOOLSLOT_KEY, what is encrypted is examined as well;
    without, it is left out and counted.

    --repair and --salvage need the journal for themselves: end the processes that have it open. --repair first makes a complete copy
    next to it, PATH.backup-1, and never makes, changes or deletes a record of a call. --salvage only reads PATH; a batch that it
    names as lost is refused in the new journal, never run as if it were new. Losses that nothing names any more are told, and cannot be
    refused.

    Exit code: 0 when the journal is sound (now), or all of it was salvaged; 1 when something is damaged or was lost; 3 when it
    cannot be examined, repaired or salvaged.
    """
    if repairing and target is not None:
        raise click.UsageError("give --repair or --salvage, not both.")
    if path is not None and where is not None:
        raise click.UsageError("name the journal once: as PATH or with --journal.")
    place = resolve(default_path(path or where))
    if target is not None:
        good = show_salvage(salvage(place, resolve(target)), as_json=as_json)
    elif repairing:
        good = show_repair(repair(place), as_json=as_json)
    else:
        good = show_report(diagnose(place, default_encryption()), as_json=as_json)
    sys.exit(Exit.OK if good else Exit.PROBLEM)
