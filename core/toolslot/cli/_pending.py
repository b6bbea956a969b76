"""`toolslot pending`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import click

from toolslot._views import CallView, PendingCall
from toolslot.cli._calls import as_word
from toolslot.cli._ending import Exit
from toolslot.cli._json import document, plain
from toolslot.cli._opening import reading
from toolslot.cli._options import args_option, journal_option, json_option, optional_run_argument
from toolslot.cli._show import existing


@click.command()
@optional_run_argument
@journal_option
@args_option
@json_option
def pending(run_id: str | None, *, where: str | None, with_args: bool, as_json: bool) -> None:
    """List the calls that began and left no record.

    Of RUN, or of all runs, each with the command that settles it. The journal cannot tell whether such a call had its effect: ask
    the system it talks to, by the call's idempotency key. A resumed run settles by itself those whose tool has a reconciler or may simply
    run again.

    Exit code: 2 when there are any, else 0.
    """
    with reading(where) as insights:
        if run_id is not None:
            existing(insights, run_id)
        found = insights.pending(run_id, reveal=with_args)
    if as_json:
        click.echo(document([_with_command(each, where) for each in found]))
    else:
        _print(found, where)
    sys.exit(Exit.NEEDS_DECISION if found else Exit.OK)


def command_for(call: CallView, where: str | None) -> str:
    """The line that settles the call, to be completed with what was found out."""
    options = f" --journal {as_word(where)}" if where is not None else ""
    run = as_word(call.run_id)
    # A name that begins with a dash would be taken for an option.
    names = (
        f"-- {run} {call.idempotency_key}" if call.run_id.startswith("-") else f"{run} {call.idempotency_key}"
    )
    return f"toolslot resolve{options} --version {call.version} --why TEXT --done JSON {names}"


def _with_command(each: PendingCall, where: str | None) -> dict[str, object]:
    record = plain(each)
    assert isinstance(record, dict), "a view is an object in JSON"
    return {**record, "command": command_for(each.call, where)}


def _print(found: Sequence[PendingCall], where: str | None) -> None:
    from toolslot.cli._console import make_console, say
    from toolslot.cli._pending_report import report

    console = make_console()
    if not found:
        say(console, "nothing needs a decision")
    for each in found:
        for parts in report(each, now=time.time()):
            say(console, *parts)
        say(console, ("  settle it   ", "dim"), command_for(each.call, where))
        console.print()
    if found:
        say(console, ("In place of --done JSON: --done @FILE, --failed TEXT, or --rerun.", "dim"))
