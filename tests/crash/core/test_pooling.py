"""A process of a pool may outlive the one that started it: nobody can know whether its call is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.forked import TESTS
from support.harness import batch
from toolslot import DurableExecutor, Reason, SlotState, ToolPolicy, UnknownOutcome

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "pooling.py"


def test_a_call_in_a_process_that_outlives_its_dead_parent_is_of_unknown_outcome(tmp_path: Path) -> None:
    args = {name: str(tmp_path / name) for name in ("inside", "go_on", "effects")}
    os.mkfifo(args["inside"])
    os.mkfifo(args["go_on"])
    parent = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(tmp_path)], env={**os.environ, "PYTHONPATH": str(TESTS)}
    )
    worker = int(Path(args["inside"]).read_text())
    parent.kill()
    parent.wait(20)
    try:
        durable = DurableExecutor(
            tmp_path / "journal", policies={"pay": ToolPolicy(on_unknown="ask")}, hooks=[]
        )
        with durable.open(batch("pay", args=args)) as run:
            with pytest.raises(UnknownOutcome):
                run.call(0, lambda: "must not run")
            assert (run.slot(0).state, run.slot(0).reason) == (SlotState.UNKNOWN, Reason.OWNER_DIED)
        durable.journal.close()
        # The process of the pool lives: it reads what it waited for, and has its effect.
        Path(args["go_on"]).write_text("go on")
        effects = Path(args["effects"])
        while not effects.exists():
            pass
        assert effects.read_text() in ("", "paid\n")
    finally:
        os.kill(worker, signal.SIGKILL)
