"""The group of all commands."""

from __future__ import annotations

import click
from typing_extensions import override

from toolslot import __version__
from toolslot.cli._demo import demo
from toolslot.cli._doctor import doctor
from toolslot.cli._effects import effects
from toolslot.cli._ending import ending
from toolslot.cli._export import export
from toolslot.cli._forget_effect import forget_effect
from toolslot.cli._html import html
from toolslot.cli._pending import pending
from toolslot.cli._purge import purge
from toolslot.cli._resolve import resolve
from toolslot.cli._runs import runs
from toolslot.cli._show import show
from toolslot.cli._steer import abandon, takeover
from toolslot.cli._watch import watch


class _Commands(click.Group):
    """A group whose errors end as `Exit` says."""

    @override
    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        with ending():
            return super().make_context(info_name, args, parent, **extra)

    @override
    def invoke(self, ctx: click.Context) -> object:
        with ending():
            return super().invoke(ctx)


@click.group(cls=_Commands, invoke_without_command=True)
@click.version_option(__version__, prog_name="toolslot", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Durable, recoverable parallel tool calls for LLM agents."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (
    runs,
    show,
    pending,
    effects,
    resolve,
    forget_effect,
    takeover,
    abandon,
    watch,
    html,
    export,
    purge,
    doctor,
    demo,
):
    cli.add_command(_command)
