"""The interpreter ends with calls in flight, in whatever way: another process resumes, and knows what is not known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.forked import TESTS
from support.ledger import Ledger
from toolslot import Batch, Call, DurableExecutor, Reason, SlotState, ToolPolicy, UnknownOutcome

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "ending.py"
S = SlotState


def ended(folder: Path, how: str) -> tuple[int, str]:
    """The exit code, and what it printed. Nothing may be written to standard error: no traceback at the end, no hang."""
    command = [sys.executable, str(SCRIPT), str(folder), how]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("main returns", 0, Reason.OWNER_DIED),
        ("sys.exit in a tool", 3, Reason.CANCELLED),
        ("os._exit in a tool", 3, Reason.OWNER_DIED),
        ("loop stops", 0, Reason.CANCELLED),
    ],
)
def test_another_process_goes_on_where_the_end_came(
    tmp_path: Path, how: str, code: int, reason: Reason
) -> None:
    assert ended(tmp_path, how)[0] == code
    durable = DurableExecutor(tmp_path / "journal", policies={"pay": ToolPolicy(on_unknown="ask")}, hooks=[])
    calls = [Call(tool="pay", args={"i": i}, call_id=f"c{i}") for i in range(3)]
    with durable.open(Batch(run_id="run", batch_id="batch", calls=calls)) as run:
        assert run.call(0, lambda: "must not run") == "paid 0"
        with pytest.raises(UnknownOutcome):
            run.call(1, lambda: "must not run")
        assert (run.slot(1).state, run.slot(1).reason) == (S.UNKNOWN, reason)
        assert run.slot(2).state is S.RESERVED
        assert run.call(2, lambda: "now") == "now"
    durable.journal.close()
    assert Ledger(tmp_path / "ledger").counts("effect", range(3)) == [1, 1, 0]


@pytest.mark.parametrize(
    ("how", "told"), [("atexit", "told paid 0\n"), ("atexit before the import", "told JournalClosed\n")]
)
def test_a_farewell_that_uses_the_journal_gets_an_answer_or_is_told_that_it_is_closed(
    tmp_path: Path, how: str, told: str
) -> None:
    assert ended(tmp_path, how) == (0, told)
