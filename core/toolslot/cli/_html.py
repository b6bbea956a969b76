"""`toolslot html`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from toolslot._text import shown
from toolslot._views.timeline import page
from toolslot.cli._ending import CannotRun
from toolslot.cli._opening import reading
from toolslot.cli._options import journal_option, reveal_option, run_argument
from toolslot.cli._show import code_of, existing


@click.command()
@run_argument
@journal_option
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="The file to write; one that is there is replaced.",
)
@reveal_option
def html(run_id: str, *, where: str | None, output: Path, reveal: bool) -> None:
    """Write the timeline of RUN as one self-contained HTML file.

    It needs no server and no network.

    Exit code: that of `toolslot show`.
    """
    with reading(where) as insights:
        run = existing(insights, run_id, reveal=reveal)
    try:
        output.write_text(page(run), encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"{output} cannot be written: {error.strerror}.") from error
    click.echo(f"wrote {shown(str(output), 1000)}")
    sys.exit(code_of(run))
