"""What the tests of the command share: running it, and agents that were really killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from support.forked import TESTS, Child, run
from toolslot.cli import cli

PAYING = TESTS / "cli" / "paying.py"

OK, PROBLEM, NEEDS_DECISION, CANNOT_RUN = 0, 1, 2, 3


def command(*args: object, env: dict[str, str | None] | None = None) -> Result:
    """The command in this process, its output not a terminal."""
    settings: dict[str, str | None] = {"TOOLSLOT_HOME": None, "COLUMNS": None, **(env or {})}
    result = CliRunner().invoke(cli, [str(arg) for arg in args], env=settings)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def in_terminal(*args: object, **env: str | None) -> Result:
    """As `command`, and rich believes that it writes to a terminal of 80 columns."""
    return command(*args, env={"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": None, **env})


def said(result: Result, code: int = OK) -> str:
    """The output, once it is certain that the command ended as expected."""
    assert result.exit_code == code, result.output
    return result.output


def answer(result: Result, code: int = OK) -> Any:
    """The output as JSON."""
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def agent(folder: Path, *args: str) -> Child:
    return Child(PAYING, str(folder), *args)


def killed(folder: Path, *args: str, hang: str = "3,4") -> Path:
    """An agent's journal after SIGKILL: 3 and 4 had begun, all others are recorded."""
    with agent(folder, "--hang", hang, *args) as child:
        child.await_line("HANGING")
        child.kill()
    return folder / "journal"


def resumed(folder: Path, *args: str) -> list[Any]:
    """What the agent's next process gets of its calls."""
    found: list[Any] = run(PAYING, [str(folder), *args])
    return found


def key_of(home: Path, index: int) -> str:
    """A call's idempotency key."""
    shown = json.loads(command("show", "order-17", "--journal", home, "--json").stdout)
    key: str = shown["batches"][0]["calls"][index]["idempotency_key"]
    return key
