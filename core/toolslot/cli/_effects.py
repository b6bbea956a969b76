"""`toolslot effects`."""

from __future__ import annotations

import click

from toolslot._text import shown
from toolslot._views import EffectState, EffectView, Insights
from toolslot.cli._completing import complete_effects
from toolslot.cli._json import document
from toolslot.cli._opening import reading
from toolslot.cli._options import journal_option, json_option


@click.command()
@journal_option
@click.option(
    "--tool",
    metavar="NAME",
    shell_complete=complete_effects,
    help="Only effects of this tool or effect name.",
)
@click.option(
    "--state", type=click.Choice([state.value for state in EffectState]), help="Only effects in this state."
)
@json_option
def effects(*, where: str | None, tool: str | None, state: str | None, as_json: bool) -> None:
    """List what calls with an effect key have done, newest first.

    Each with its key, whether it was done, and the call that did it. A done effect is not had again; `toolslot forget-effect` has
    it run again.

    Exit code: 0.
    """
    with reading(where) as insights:
        found = _matching(insights, tool, state)
        location = insights.location
    if as_json:
        click.echo(document(found))
    else:
        _print(found, location, narrowed=tool is not None or state is not None)


def _matching(insights: Insights, tool: str | None, state: str | None) -> list[EffectView]:
    found = (
        each
        for each in insights.effects()
        if tool in (None, each.tool) and (state is None or each.state.value == state)
    )
    return sorted(found, key=lambda each: (-each.since, each.digest))


def _print(found: list[EffectView], location: str, *, narrowed: bool) -> None:
    from toolslot.cli._console import make_console, say
    from toolslot.cli._effects_report import report

    console = make_console()
    if not found:
        none = "no such effect" if narrowed else "no call with an effect key"
        say(console, f"{none} in {shown(location, 1000)}" if location else none)
    for each in found:
        for parts in report(each):
            say(console, *parts)
