"""`toolslot demo`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from toolslot._demo._facts import facts
from toolslot._demo._frameworks import FRAMEWORKS, Framework
from toolslot._demo._run import DemoReport, missing_packages, run_demo
from toolslot._errors import ToolslotError
from toolslot.cli._ending import CannotRun, Exit


@click.command()
@click.option(
    "--framework",
    "name",
    type=click.Choice(tuple(FRAMEWORKS)),
    default="langgraph",
    show_default=True,
    help="Whose agent it is.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON instead of tables.")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep ledgers, checkpoints, journal and logs in DIR, a new or empty folder.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Give up after this time.",
)
def demo(*, name: str, as_json: bool, keep: Path | None, seconds: float) -> None:
    """Kill an agent amid its calls, resume it, count payments.

    A real agent of the framework with eight tool calls in one message and a small bank on 127.0.0.1, once with the framework alone and
    once with toolslot. It needs no API key.

    Exit code: 0 when the bank's ledger agrees with the promise, 1 when it does not, 3 when the demo could not
    run.
    """
    framework = FRAMEWORKS[name]
    if missing := missing_packages(framework):
        raise CannotRun(f"the demo also needs {', '.join(missing)}: {framework.install}")
    try:
        with _folder(keep) as folder:
            report = (
                _run_json(folder, framework, seconds)
                if as_json
                else _run_shown(folder, framework, seconds, keep)
            )
    except ToolslotError as error:
        raise CannotRun(f"the demo could not run: {error}") from error
    except KeyboardInterrupt:
        click.echo("stopped; no process is left", err=True)
        sys.exit(Exit.INTERRUPTED)
    sys.exit(Exit.PROBLEM if report.problems else Exit.OK)


def _run_json(folder: Path, framework: Framework, seconds: float) -> DemoReport:
    report = run_demo(folder, framework=framework, seconds=seconds, on_step=lambda _side, _step: None)
    click.echo(json.dumps(facts(report), indent=2))
    return report


def _run_shown(folder: Path, framework: Framework, seconds: float, keep: Path | None) -> DemoReport:
    try:
        from toolslot._demo import _view
    except ModuleNotFoundError as error:
        raise CannotRun(f"the demo also needs rich: {framework.install}") from error
    return _view.run_and_show(folder, framework=framework, seconds=seconds, kept=keep)


@contextmanager
def _folder(keep: Path | None) -> Generator[Path]:
    """A temporary folder, or `keep`, made if need be. It must be empty: an old journal would be replayed."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="toolslot-demo-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise click.BadParameter(f"{keep} is not empty; name a new folder", param_hint="--keep")
    yield keep.resolve()
