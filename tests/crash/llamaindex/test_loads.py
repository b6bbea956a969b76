"""`on_resume="rerun"` with LlamaIndex, where a resumed run passes through all its turns: the load of an earlier one runs again."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.forked import Child, run
from support.ledger import Ledger

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "loads.py"


def lives(folder: Path, *args: str) -> tuple[list[str], Ledger]:
    """The results of a run whose first process was killed in the search, and what was noted."""
    with Child(SCRIPT, str(folder), *args) as child:
        child.await_line("INSIDE")
        child.kill()
    return run(SCRIPT, [str(folder), "--life", "2", *args]), Ledger(folder / "ledger")


def test_what_it_left_in_memory_is_there_again_in_the_next_process(tmp_path: Path) -> None:
    answers, ledger = lives(tmp_path, "--on-resume", "rerun")
    assert answers == ["loaded a", "what a says"]
    assert [ledger.count("load", "a", life) for life in (1, 2)] == [1, 1]


def test_without_it_the_next_process_finds_nothing(tmp_path: Path) -> None:
    answers, ledger = lives(tmp_path)
    assert answers == ["loaded a", "nothing was loaded"]
    assert ledger.count("load", "a", 2) == 0


def test_a_call_of_which_nothing_is_recorded_runs_again(tmp_path: Path) -> None:
    answers, ledger = lives(tmp_path, "--unrecorded")
    assert answers == ["loaded a", "what a says"]
    assert [ledger.count("load", "a", life) for life in (1, 2)] == [1, 1]
