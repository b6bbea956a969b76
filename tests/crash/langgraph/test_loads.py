"""`on_resume="rerun"` through every door: a graph that enters the call again has again what a tool left in a dead process's memory."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.forked import Child, run
from support.ledger import Ledger
from toolslot import DiskJournal, SlotState

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "loads.py"

doors = pytest.mark.parametrize("door", ["node", "make_durable", "middleware"])


def lives(folder: Path, *args: str) -> tuple[list[str], Ledger]:
    """The tool messages of a run whose first process died once the load was recorded, before LangGraph saved it; and what was noted."""
    with Child(SCRIPT, str(folder), *args, "--crash", "after_finish") as child:
        assert child.wait() == -signal.SIGKILL
    return run(SCRIPT, [str(folder), "--life", "2", *args]), Ledger(folder / "ledger")


@doors
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_it_left_in_memory_is_there_again_in_the_next_process(
    tmp_path: Path, door: str, mode: str
) -> None:
    answers, ledger = lives(tmp_path, "--door", door, "--mode", mode, "--on-resume", "rerun")
    assert answers == ["loaded a", "nothing was loaded", "what a says"]
    assert ledger.count("load", "a", 2) == 1


@doors
def test_without_it_the_next_process_finds_nothing(tmp_path: Path, door: str) -> None:
    answers, ledger = lives(tmp_path, "--door", door)
    assert answers == ["loaded a", "nothing was loaded", "nothing was loaded"]
    assert ledger.count("load", "a", 2) == 0


@doors
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_call_of_which_nothing_is_recorded_runs_again_and_left_no_trace_in_the_journal(
    tmp_path: Path, door: str, mode: str
) -> None:
    options = ("--door", door, "--mode", mode, "--unrecorded")
    with Child(SCRIPT, str(tmp_path), *options, "--crash", "before_delivery") as child:
        assert child.wait() == -signal.SIGKILL
    answers = run(SCRIPT, [str(tmp_path), "--life", "2", *options])
    assert answers == ["loaded a", "nothing was loaded", "what a says"]
    ledger = Ledger(tmp_path / "ledger")
    assert [ledger.count("load", "a", life) for life in (1, 2)] == [1, 1]
    with DiskJournal.open(tmp_path / "journal") as journal:
        found = [journal.load(key).result() for key in journal.keys("t-1").result()]
    slots = {slot.spec.call_id: slot for record in found if record is not None for slot in record.slots}
    assert (slots["c1"].version, slots["c1"].spec.digest, slots["c1"].outcome) == (0, None, None)
    assert slots["c2"].state is SlotState.SUCCEEDED
