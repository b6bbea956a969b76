"""What the shell offers for a RUN or a CALL. It reads the journal as every view does, and is silent when there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from toolslot._errors import ToolslotError
from toolslot._text import shown
from toolslot._views import Insights
from toolslot.cli._opening import reading

#: more are of no help to anybody
_MOST = 200


def complete_runs(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of runs, newest first."""
    return _offered(context, incomplete, lambda insights: insights.run_ids())


def complete_calls(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The idempotency keys of the run's calls that need a decision."""
    run_id: str | None = context.params.get("run_id")
    return _offered(
        context,
        incomplete,
        lambda insights: (pending.call.idempotency_key for pending in insights.pending(run_id)),
    )


def complete_effects(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of effects."""
    return _offered(
        context, incomplete, lambda insights: dict.fromkeys(effect.tool for effect in insights.effects())
    )


def complete_effect_keys(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The keys of the tool's effects that are one word and may be typed without quotation marks."""
    tool: str | None = context.params.get("tool")
    return _offered(
        context,
        incomplete,
        lambda insights: (
            effect.key_text
            for effect in insights.effects()
            if effect.tool == tool and effect.key and len(effect.key) == 1 and '"' not in effect.key_text
        ),
    )


def _offered(
    context: click.Context, incomplete: str, find: Callable[[Insights], Iterable[str]]
) -> list[CompletionItem]:
    try:
        with reading(context.params.get("where")) as insights:
            # A name that is not shown as it is cannot be typed either.
            names = [name for name in find(insights) if name.startswith(incomplete) and shown(name) == name]
    except (ToolslotError, click.ClickException):
        return []
    return [CompletionItem(name) for name in names[:_MOST]]
