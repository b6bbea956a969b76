"""The LlamaIndex example runs as a script of its own, and the second time nobody is paid."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "llamaindex_agent.py"


@pytest.mark.crash
def test_run_twice_it_answers_twice_and_pays_once(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core")
    first, second = (output(tmp_path) for _ in range(2))
    assert sorted(line.split(",")[0] for line in first[:2]) == ["paying Ann 10 EUR", "paying Bob 20 EUR"]
    assert len({line.split("key ")[1] for line in first[:2]}) == 2
    assert first[2:] == second == ["Both are paid."]


def output(folder: Path) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TOOLSLOT_HOME"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_takes_less_than_fifteen_lines_beside_the_imports() -> None:
    source = EXAMPLE.read_text()
    own = [
        node
        for node in ast.parse(source).body[1:]  # without the docstring
        if not isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    lines = source.splitlines()
    written = [line for node in own for line in lines[node.lineno - 1 : node.end_lineno] if line.strip()]
    assert 0 < len(written) < 15
