"""What is acknowledged is on the disk: counted in system calls, and with failing ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from support.examining import examined
from toolslot.journal import DiskJournal

STRACE = shutil.which("strace")
SCRIPT = Path(__file__).parent / "syncing.py"

pytestmark = [pytest.mark.crash, pytest.mark.skipif(STRACE is None, reason="strace is not installed")]


def trace(tmp_path: Path, durability: str, *options: str) -> list[str]:
    """The marks and the successful syncs of the script, in order."""
    log = tmp_path / "calls"
    command = [str(STRACE), "-f", "-e", "trace=fdatasync,fsync,write", *options, "-o", str(log)]
    done = subprocess.run(
        [*command, sys.executable, str(SCRIPT), str(tmp_path / "journal"), durability],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if "ptrace" in done.stderr.lower() and done.returncode:
        pytest.skip("this system does not let strace trace")
    assert done.returncode == 0, done.stderr
    found: list[str] = []
    for line in log.read_text(errors="replace").splitlines():
        if re.search(r"f(data)?sync(\(\d+\)| resumed>\)) += 0", line):
            found.append("sync")
        elif match := re.search(r'write\(1, "(.*?)\\n"', line):
            found.append(match[1])
    return found


def syncs_between_marks(events: list[str]) -> dict[str, int]:
    """How many syncs there were before each mark, since the mark before it."""
    places = [place for place, event in enumerate(events) if event != "sync"]
    return {events[end]: end - begin - 1 for begin, end in pairwise(places)}


def test_every_record_costs_one_sync_and_so_does_a_reservation_of_a_thousand_calls(tmp_path: Path) -> None:
    syncs = syncs_between_marks(trace(tmp_path, "power"))
    assert [syncs[f"recorded {index}"] for index in range(20)] == [1] * 20
    assert 1 <= syncs["reserved 1000"] <= 3, "one, and those of a checkpoint that may be due"
    assert syncs["end"] < 15, "what comes together shares one"


def test_durability_process_does_not_sync(tmp_path: Path) -> None:
    syncs = syncs_between_marks(trace(tmp_path, "process"))
    assert [syncs[f"recorded {index}"] for index in range(20)] == [0] * 20


@pytest.mark.parametrize("when", [30, 36, "38..43"])
def test_a_failing_sync_loses_nothing_that_was_acknowledged(tmp_path: Path, when: object) -> None:
    events = trace(tmp_path, "power", "-e", f"inject=fdatasync:error=EIO:when={when}")
    recorded = {int(event.split()[1]) for event in events if event.startswith("recorded")}
    assert len(recorded) >= 10
    with DiskJournal.open(tmp_path / "journal") as journal:
        key = journal.keys().result(30)[0]
        record = journal.load(key).result(30)
        assert record is not None
        assert {slot.index for slot in record.slots if slot.version} >= recorded
        assert examined(journal).sound
