"""Processes made in the middle of a batch: by fork inside a tool, and by multiprocessing, however it starts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.examining import examined
from support.forked import TESTS
from support.ledger import Ledger
from toolslot import BatchKey, DiskJournal, SlotState

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "forking_tools.py"


def run(folder: Path, *args: str) -> list[dict[str, object]]:
    """What the process and its children print, one JSON object a line, once all of them have ended."""
    command = [sys.executable, str(SCRIPT), str(folder), *args]
    env = {"PYTHONPATH": str(TESTS), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("end", "where"),
    [
        ("returns", "call"),
        ("raises", "call"),
        ("exits", "call"),
        ("is killed", "call"),
        # A child that came back from a pool's thread would wait there for more work, for ever.
        ("is killed", "run_all"),
        ("runs the batch", "run_all"),
    ],
)
def test_a_child_forked_inside_a_tool_changes_nothing(tmp_path: Path, end: str, where: str) -> None:
    (parent,) = [line for line in run(tmp_path, "fork", end, where) if line["who"] == "parent"]
    assert parent["answers"] == [f"paid {i} by {parent['pid']}" for i in range(3)]
    with DiskJournal.open(tmp_path / "journal") as journal:
        record = journal.load(BatchKey("run", "batch")).result(30)
        assert record is not None
        assert [(slot.state, slot.attempt) for slot in record.slots] == [(SlotState.SUCCEEDED, 1)] * 3
        assert [slot.decision for slot in record.slots] == [None] * 3
        assert (record.fence.epoch, record.fence.closed) == (1, True)
        assert examined(journal).sound
    effects = Ledger(tmp_path / "ledger").counts("effect", range(3))
    assert effects == [1, 1, 1], (
        "what a tool does after it has forked is its own affair; this one's child does nothing"
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_that_run_one_batch_run_every_call_once(
    tmp_path: Path, method: str
) -> None:
    told = run(tmp_path, "many", method)
    assert len(told) == 3
    assert len({json.dumps(each["answers"]) for each in told}) == 1
    assert Ledger(tmp_path / "ledger").counts("effect", range(6)) == [1] * 6


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_tools_run_in_a_process_pool_while_the_batch_is_recorded_here(tmp_path: Path, method: str) -> None:
    (told,) = run(tmp_path, "pool", method)
    assert told["answers"] == [f"paid {i}" for i in range(6)]
    assert told["again"] == told["answers"]
    assert Ledger(tmp_path / "ledger").counts("effect", range(6)) == [1] * 6
