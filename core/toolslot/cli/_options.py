"""The options and arguments that several commands share, in the same words."""

from __future__ import annotations

import getpass
import socket

import click

from toolslot.cli._completing import complete_calls, complete_runs

journal_option = click.option(
    "--journal",
    "where",
    metavar="PATH",
    help="Where the journal lies. Default: TOOLSLOT_HOME, else ./.toolslot.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
args_option = click.option(
    "--args", "with_args", is_flag=True, help="Show the calls' arguments; they may hold secrets."
)
reveal_option = click.option(
    "--reveal", is_flag=True, help="Show arguments, results and messages of errors; they may hold secrets."
)
why_option = click.option(
    "--why", required=True, metavar="TEXT", help="The reason; it is journaled for those who look later."
)
by_option = click.option("--by", metavar="NAME", help="Who decides. Default: user@host, as the system says.")
run_argument = click.argument("run_id", metavar="RUN", shell_complete=complete_runs)
optional_run_argument = click.argument(
    "run_id", metavar="[RUN]", required=False, shell_complete=complete_runs
)
call_argument = click.argument("call", metavar="CALL", shell_complete=complete_calls)


def operator(by: str | None) -> str:
    """Who is to be journaled."""
    if by is not None:
        return by
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that has no name
        user = "unknown user"
    return f"{user}@{socket.gethostname()}"
