"""Case 38: what was acknowledged survives a power cut.

A real process works on a real journal while a shim below it writes down what it asks of the files; then the directory is made again as
a cut at any moment would leave it, and opened. TOOLSLOT_POWER_CUTS sets how many cuts are tried (default: a few, for some seconds).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.acknowledged import Acknowledged, verify
from support.examining import examined
from support.powercut import Call, Disk, calls, shim
from toolslot.journal import DiskJournal

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "powercut_victim.py"
CUTS = int(os.environ.get("TOOLSLOT_POWER_CUTS", "10"))
HOME = Path("far", "below", "journal")


@dataclass
class Recorded:
    root: Path
    calls: list[Call]


def record(tmp_path: Path, durability: str) -> Recorded:
    root, log = tmp_path / "disk", tmp_path / "calls"
    root.mkdir()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(root), durability, "s"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LD_PRELOAD": str(shim(tmp_path)),
            "POWERCUT_ROOT": str(root),
            "POWERCUT_LOG": str(log),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Recorded(root, list(calls(log)))


def acknowledged_in(made: list[Call], acks: Path) -> Acknowledged:
    text = b"".join(call.data for call in made if call.op == "w" and Path(call.path) == acks)
    acknowledged = Acknowledged()
    acknowledged.take(line.split() for line in text.decode().splitlines())
    return acknowledged


def compare(home: Path, acknowledged: Acknowledged) -> int:
    """How many acknowledged records are there; fails when one is not."""
    if not acknowledged.slots and not home.exists():
        return 0
    assert home.exists(), "the journal's directory is gone, and with it what was acknowledged"
    with DiskJournal.open(home, durability="process") as journal:
        compared = verify(journal, acknowledged)
        assert examined(journal).problems == ()
    return compared


def cuts(
    recorded: Recorded, moments: Iterable[int], target: Path, chance: random.Random | None
) -> Iterator[Acknowledged]:
    """Cut at each of the moments, which are numbers of calls in ascending order; yields what was acknowledged before it, while `target`
    is the directory after it.
    """
    disk = Disk(recorded.root)
    done = 0
    for at in moments:
        for call in recorded.calls[done:at]:
            disk.apply(call)
        done = at
        disk.rebuild(target, chance)
        yield acknowledged_in(recorded.calls[:at], recorded.root / "acks")
        shutil.rmtree(target)


def moments(recorded: Recorded, count: int) -> list[int]:
    return sorted(random.Random(38).choices(range(len(recorded.calls) + 1), k=count))


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(tmp_path_factory.mktemp("power"), "power")


@pytest.mark.parametrize("mixed", [False, True], ids=["only what was synced", "sectors at random"])
def test_case_38_no_acknowledged_record_is_lost_in_a_power_cut(
    tmp_path: Path, durable: Recorded, mixed: bool
) -> None:
    compared = 0
    chance = random.Random(1) if mixed else None
    for acknowledged in cuts(durable, moments(durable, CUTS), tmp_path / "after", chance):
        compared += compare(tmp_path / "after" / HOME, acknowledged)
    print("compared", compared, "records after", CUTS, "cuts of", len(durable.calls), "calls")
    assert compared > CUTS


def test_with_durability_process_a_power_cut_can_lose_records(tmp_path: Path) -> None:
    recorded = record(tmp_path, "process")
    for acknowledged in cuts(recorded, moments(recorded, 50), tmp_path / "after", None):
        assert not acknowledged.slots or (tmp_path / "after" / HOME).exists(), "the journal itself is there"
        try:
            compare(tmp_path / "after" / HOME, acknowledged)
        except AssertionError:
            return
    pytest.fail("nothing was lost in 50 cuts: the shim does not bite")


def test_a_journal_is_there_after_a_power_cut_right_after_it_was_made(
    tmp_path: Path, durable: Recorded
) -> None:
    first = next(n for n, call in enumerate(durable.calls) if call.op == "w" and call.path.name == "acks")
    for acknowledged in cuts(durable, [first + 1], tmp_path / "after", None):
        assert acknowledged.slots
        compare(tmp_path / "after" / HOME, acknowledged)
