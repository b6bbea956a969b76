"""Behind a server that keeps its runs in a store of its own: after a restart the server takes them up itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from support.forked import Child, run
from support.ledger import Ledger

pytest.importorskip("llama_agents.server", reason="llama-agents-server is not installed")

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "served.py"


def an_hour_passes(runs: Path) -> None:
    """As far as the server knows, which leaves alone what began less than half a minute before it started: another one may have it."""
    with sqlite3.connect(runs) as database:
        database.execute("UPDATE handlers SET started_at = '2020-01-01T00:00:00+00:00'")
    database.close()


def test_a_server_that_was_killed_takes_the_run_up_and_no_recorded_payment_is_made_again(
    tmp_path: Path,
) -> None:
    with Child(SCRIPT, str(tmp_path)) as child:
        child.await_line("INSIDE")
        child.kill()
    ledger = Ledger(tmp_path / "ledger")
    an_hour_passes(tmp_path / "runs.db")
    found = run(SCRIPT, [str(tmp_path), "--life", "2"])
    assert found["status"] == "completed", found
    assert [ledger.count("pay", i, 1) for i in (1, 2, 3)] == [1, 1, 1]
    assert [ledger.count("pay", i, 2) for i in (1, 2, 3)] == [0, 1, 0]
