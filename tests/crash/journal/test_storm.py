"""SIGKILL at any moment: nothing acknowledged is lost, nothing is torn, no lock stays behind.

TOOLSLOT_STORM_KILLS sets how many processes are killed (default: a few, for some seconds).
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.batches import reserve
from toolslot import BatchKey
from toolslot._errors import RunPurged
from toolslot._slot import SlotState
from toolslot.journal import DiskJournal, OwnerState

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
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def kill(self) -> list[list[str]]:
        self.process.kill()
        out, _ = self.process.communicate()
        return [line.split() for line in out.decode().splitlines()]


@dataclass
class Acknowledged:
    """What the victims were told is durable."""

    slots: dict[BatchKey, dict[int, str | None]] = field(default_factory=lambda: defaultdict(dict))
    purging: set[str] = field(default_factory=set)
    purged: set[str] = field(default_factory=set)

    def take(self, lines: Iterable[list[str]]) -> None:
        for line in lines:
            match line:
                case ["reserved", run, batch]:
                    self.slots[BatchKey(run, batch)]
                case ["started", run, batch, index]:
                    self.slots[BatchKey(run, batch)][int(index)] = None
                case ["finished", run, batch, index, digest]:
                    self.slots[BatchKey(run, batch)][int(index)] = digest
                case ["purging", run]:
                    self.purging.add(run)
                case ["purged", run]:
                    self.purged.add(run)
                case _:
                    assert line == ["open"], line


def verify(journal: DiskJournal, acknowledged: Acknowledged) -> int:
    """Compare every batch; how many records were compared."""
    compared = 0
    listed = set(journal.keys().result(PATIENCE))
    for key, slots in acknowledged.slots.items():
        record = journal.load(key).result(PATIENCE)
        if key.run_id in acknowledged.purged:
            assert record is None
            assert key not in listed
            with pytest.raises(RunPurged):
                reserve(journal, 4, run=key.run_id, batch="again")
            continue
        if record is None:
            assert key.run_id in acknowledged.purging, f"{key} is lost"
            continue
        assert key in listed
        for index, digest in slots.items():
            slot = record.slots[index]
            if digest is None:
                assert slot.state in (SlotState.RUNNING, SlotState.SUCCEEDED), (key, index)
            else:
                assert slot.state is SlotState.SUCCEEDED, (key, index)
                assert slot.outcome is not None
                assert hashlib.sha256(slot.outcome.data).hexdigest() == digest
            compared += 1
        assert journal.owner_state(record.fence.owner) is OwnerState.DEAD
    return compared


def test_case_31_nothing_acknowledged_is_lost_however_processes_are_killed(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    chance = random.Random(20)
    acknowledged = Acknowledged()
    victims = [Victim(root, f"v{number}", 3) for number in range(3)]
    for number in range(KILLS):
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
        report = journal.check()
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
            assert journal.check().sound


def test_many_processes_that_open_a_new_journal_at_once_share_it(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    victims = [Victim(root, f"v{number}", 1) for number in range(6)]
    for victim in victims:
        assert victim.process.stdout is not None
        assert victim.process.stdout.readline() == b"open\n"
    acknowledged = Acknowledged()
    for victim in victims:
        acknowledged.take(victim.kill())
    with DiskJournal.open(root) as journal:
        verify(journal, acknowledged)
        assert journal.check().sound
