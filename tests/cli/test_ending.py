"""How the command ends: help, wrong options, and how fast it is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cli.commands import CANNOT_RUN, OK, command, said


def test_without_a_command_it_shows_its_help() -> None:
    assert said(command(), OK) == said(command("--help"), OK)


def test_wrong_words_end_with_code_3_and_how_it_is_meant() -> None:
    for words in (("nix",), ("runs", "--nix"), ("runs", "--limit", "0"), ("show",)):
        output = said(command(*words), CANNOT_RUN)
        assert output.startswith("Usage: ")


def test_the_help_is_there_at_once(tmp_path: Path) -> None:
    """That is about 0.15 s on a quiet machine. A busy one makes both slower, so it does not decide this.

    Measured in processor time, as the best of several, without what compiling costs the first time.
    """
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = str(tmp_path)

    def cost(code: str) -> float:
        measure = f"import time; start = time.process_time(); {code}; print(time.process_time() - start)"
        command = [sys.executable, "-c", measure]
        done = [
            subprocess.run(command, env=environ, capture_output=True, text=True, check=True) for _ in range(3)
        ]
        return min(float(each.stdout.splitlines()[-1]) for each in done)

    help_text = "from toolslot.cli import cli; cli(['--help'], standalone_mode=False)"
    assert cost(help_text) < 7 * cost("import asyncio")


def test_only_what_draws_loads_rich() -> None:
    code = "import sys, toolslot.cli; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
