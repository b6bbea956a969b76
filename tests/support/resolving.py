"""A person beside an agent: the command, where it decides in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from toolslot.cli import cli


def pending(folder: Path) -> list[Any]:
    """The calls of the folder's journal that need a decision."""
    result = CliRunner().invoke(cli, ["pending", "--json", "--journal", str(folder / "journal")])
    assert result.exit_code == 2, result.output
    return [each["call"] for each in json.loads(result.stdout)]


def resolve(folder: Path, call: str, *what: str) -> None:
    """Decide about a call of the one run there is."""
    run = pending(folder)[0]["run_id"]
    words = ["resolve", run, call, *what, "--why", "test", "--journal", str(folder / "journal")]
    done = subprocess.run(
        [sys.executable, "-m", "toolslot", *words], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
