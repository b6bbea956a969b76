"""Owners that are stopped, and takers that race, as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolslot.journal import DiskJournal, OwnerState

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "obeying.py"


class Obeying:
    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            text=True,
            bufsize=1,
        )

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def do(self, command: str) -> str:
        self.tell(command)
        return self.answer()

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.communicate(timeout=30)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def processes(root: Path) -> Iterator[list[Obeying]]:
    """The batch is reserved by the first, which is at work."""
    made = [Obeying(root)]
    assert made[0].do("own") == "1"
    made += [Obeying(root) for _ in range(2)]
    yield made
    for process in made:
        process.end()


def test_case_24_a_stopped_owner_that_was_taken_over_changes_nothing_when_it_wakes(
    root: Path, processes: list[Obeying]
) -> None:
    stopped, taker, _ = processes
    assert stopped.do("own") == "1"
    assert stopped.do("start 0") == "running"
    stopped.process.send_signal(signal.SIGSTOP)
    with DiskJournal.open(root, read_only=True) as view:
        (key,) = view.keys().result(30)
        record = view.load(key).result(30)
        assert record is not None
        assert record.owner_state is OwnerState.ALIVE, "stopped is not dead"
        assert taker.do("take") == "1 False", "nor is its batch to be had without force"
        assert taker.do("take force") == "2 True"
        before = view.load(key).result(30)
        stopped.process.send_signal(signal.SIGCONT)
        assert [stopped.do(f"start {index}") for index in (0, 1, 2)] == ["Fenced"] * 3
        assert view.load(key).result(30) == before, "no row was changed"
        assert stopped.do("finish 0") == "Fenced"
        late = view.load(key).result(30)
        assert late is not None
        assert before is not None
        assert late.slots[0].state is before.slots[0].state
        assert len(late.slots[0].evidence) == 1, "a late result is kept for whoever decides"
    assert taker.do("start 1") == "running"


def test_of_two_takers_at_the_same_instant_one_gets_the_batch(processes: list[Obeying]) -> None:
    for process in processes:
        process.do("own")
    for turn in range(10):
        for process in processes:
            process.tell("take force")
        answers = [process.answer() for process in processes]
        assert [answer for answer in answers if answer.endswith("True")]
        epochs = [answer.split()[0] for answer in answers if answer.endswith("True")]
        assert len(set(epochs)) == len(epochs), f"turn {turn}: each epoch has one owner: {answers}"


def test_a_killed_owners_lock_is_free_at_once_and_its_batch_can_be_taken(processes: list[Obeying]) -> None:
    killed, taker, _ = processes
    killed.do("own")
    assert killed.do("start 0") == "running"
    killed.process.kill()
    assert taker.do("take") == "2 True"
    assert taker.do("start 1") == "running"
