"""SIGKILL at any moment: nothing acknowledged is lost, nothing is torn, no lock stays behind.

TOOLSLOT_STORM_KILLS sets how many processes are killed (default: a few, for some seconds).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.acknowledged import Acknowledged, verify
from support.batches import reserve
from support.examining import examined
from toolslot.journal import DiskJournal

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "storm.py"
KILLS = int(os.environ.get("TOOLSLOT_STORM_KILLS", "12"))
PATIENCE = 60.0


class Victim:
    """One process of the storm. What it said is read to the end once it is dead."""

    def __init__(self, root: Path, seed: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(root), seed, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # or what was read ahead with a line would be missing at the end
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def wait_until_open(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"open\n"

    def kill(self) -> list[list[str]]:
        self.process.kill()
        out, _ = self.process.communicate()
        return [line.split() for line in out.decode().splitlines()]


def test_case_31_nothing_acknowledged_is_lost_however_processes_are_killed(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    chance = random.Random(20)
    acknowledged = Acknowledged()
    victims = [Victim(root, f"v{number}", 3) for number in range(3)]
    for number in range(KILLS):
        if number % 2:
            victims[number % 3].wait_until_open()  # the others may die while they start
        time.sleep(chance.uniform(0.1, 0.5))  # a random instant is what is wanted
        acknowledged.take(victims[number % 3].kill())
        victims[number % 3] = Victim(root, f"v{number + 3}", 3)
    for victim in victims:
        acknowledged.take(victim.kill())
    began = time.monotonic()
    with DiskJournal.open(root) as journal:
        assert time.monotonic() - began < 10, "no lock was left behind"
        compared = verify(journal, acknowledged)
        print("compared", compared, len(acknowledged.purged))
        assert compared >= 20
        assert len(list((root / "owners").iterdir())) == 1, "the dead were swept away"
    with DiskJournal.open(root) as journal:
        report = examined(journal)
        assert report.problems == ()
        assert not [note for note in report.notes if "is purged" in note], "interrupted purges were finished"


def test_a_process_killed_while_it_makes_a_journal_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(max(KILLS // 2, 6)):
        root = tmp_path / f"journal {number}"
        victims = [Victim(root, f"v{n}", 1) for n in range(2)]
        time.sleep(chance.uniform(0.05, 0.6))
        acknowledged = Acknowledged()
        for victim in victims:
            acknowledged.take(victim.kill())
        with DiskJournal.open(root) as journal:
            verify(journal, acknowledged)
            reserve(journal, run="after")
            assert examined(journal).sound


def test_many_processes_that_open_a_new_journal_at_once_share_it(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    victims = [Victim(root, f"v{number}", 1) for number in range(6)]
    for victim in victims:
        victim.wait_until_open()
    acknowledged = Acknowledged()
    for victim in victims:
        acknowledged.take(victim.kill())
    with DiskJournal.open(root) as journal:
        verify(journal, acknowledged)
        assert examined(journal).sound
