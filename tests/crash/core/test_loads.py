"""`on_resume="rerun"` without a framework: what a tool left in the memory of a dead process is there again."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.forked import Child, run
from support.ledger import Ledger

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "loads.py"


def killed(folder: Path, *args: str) -> Ledger:
    with Child(SCRIPT, str(folder), *args) as child:
        child.await_line("INSIDE")
        child.kill()
    return Ledger(folder / "ledger")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_it_left_in_memory_is_there_again_in_the_next_process(tmp_path: Path, mode: str) -> None:
    args = ("--on-resume", "rerun", "--mode", mode)
    ledger = killed(tmp_path, *args)
    answers = run(SCRIPT, [str(tmp_path), "--life", "2", *args])
    assert answers == ["loaded a", "what a says"] * 2
    assert [ledger.count("load", "a", life) for life in (1, 2)] == [1, 1], "once for each process"
    run(SCRIPT, [str(tmp_path), "--life", "3", *args])
    assert [ledger.count("load", "a", life) for life in (1, 2, 3)] == [1, 1, 1]
    assert [ledger.count("search", "a", life) for life in (1, 2, 3)] == [1, 1, 0]


def test_without_it_the_next_process_finds_nothing(tmp_path: Path) -> None:
    ledger = killed(tmp_path)
    assert run(SCRIPT, [str(tmp_path), "--life", "2"]) == ["loaded a", "nothing was loaded"] * 2
    assert ledger.count("load", "a", 2) == 0
