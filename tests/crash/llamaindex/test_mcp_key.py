"""The key of a call reaches an MCP server: an agent that is killed between the effect and its record orders once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.forked import Child, run
from support.mcp_shop import orders, serving

pytestmark = [pytest.mark.crash, pytest.mark.any_release]  # the packages of MCP have no lowest release here

pytest.importorskip("llama_index.tools.mcp")

SCRIPT = Path(__file__).parent / "ordering.py"


def killed_and_resumed(folder: Path, place: str) -> str:
    with Child(SCRIPT, str(folder), place, "after_return") as child:
        assert child.wait() == -signal.SIGKILL
    return str(run(SCRIPT, [str(folder), place]))


def test_over_stdio_in_the_meta_data(tmp_path: Path) -> None:
    answer = killed_and_resumed(tmp_path, "stdio")
    ((key, number, _),) = orders(tmp_path / "ledger")
    assert key.startswith("ts_")
    assert f"{number}, as before" in answer


def test_over_http_in_the_meta_data(tmp_path: Path) -> None:
    with serving(tmp_path / "ledger") as address:
        answer = killed_and_resumed(tmp_path, address)
    ((key, number, header),) = orders(tmp_path / "ledger")
    assert key.startswith("ts_")
    assert header == "no header"
    assert f"{number}, as before" in answer
