"""What grows with use and what does not. The long runs are `make soak` and `make scale`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HERE = Path(__file__).parent


def run(script: str, *args: str) -> str:
    command = [sys.executable, "-W", "error", str(HERE / script), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_memory_files_threads_and_journal_stay_flat_over_thousands_of_batches() -> None:
    assert "grown: nothing" in run("soak.py", "--batches", "5000")


def test_a_journal_of_many_slots_opens_reads_and_purges_like_a_small_one() -> None:
    # Other tests and other people use the machine: a limit that is broken by size is broken by far more than this.
    assert "over the limit: nothing" in run("scale.py", "--slots", "20000", "--margin", "10")
