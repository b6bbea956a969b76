"""Bad input and sick storage, through the front door: a clear error or a documented way on; nothing lost, nothing run twice."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.harness import batch
from toolslot import (
    DiskJournal,
    DurableExecutor,
    JournalCorrupt,
    JournalError,
    JournalFull,
    ResultNotStorable,
    SlotState,
)

MIB = 2**20


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def once(home: Path, tool: Any) -> Any:
    """One process start: open, run the one call of the batch, close."""
    with DiskJournal.open(home) as journal:
        return DurableExecutor(journal).run_all(batch("t"), {"t": tool})[0]


def test_case_23_a_50_mb_result_is_stored_whole_and_its_call_runs_once(home: Path) -> None:
    runs: list[int] = []
    big = "x" * (50 * MIB)
    for _ in range(2):
        assert once(home, lambda i: runs.append(i) or big) == big
    assert runs == [0]


def test_case_23_a_result_above_the_limit_reaches_the_agent_and_its_call_never_runs_again(home: Path) -> None:
    runs: list[int] = []
    huge = b"x" * (65 * MIB)
    assert once(home, lambda i: runs.append(i) or huge) == huge
    with pytest.raises(ResultNotStorable, match="will not run again"):
        once(home, lambda i: runs.append(i))
    assert runs == [0]


def test_case_23_a_result_that_only_the_journal_finds_too_large_is_kept_as_text(home: Path) -> None:
    runs: list[int] = []
    big = "x" * MIB
    for expected in (big, None):
        with DiskJournal.open(home, max_result_bytes=MIB // 2) as journal:
            executor = DurableExecutor(journal, lossy_replay=True)
            (value,) = executor.run_all(batch("t"), {"t": lambda i: runs.append(i) or big})
            assert value == expected or (expected is None and value.startswith("'xxx"))
    assert runs == [0]


class Bomb:
    """Unpickling it would leave a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_a_row_crafted_to_run_code_when_it_is_read_gives_an_error_and_runs_nothing(
    home: Path, tmp_path: Path
) -> None:
    once(home, lambda i: "ok")
    trace = tmp_path / "trace"
    with sqlite3.connect(home / "db" / "cache.db") as database:
        rows = database.execute("SELECT rowid FROM Cache WHERE key LIKE 'b/%'").fetchall()
        assert rows
        for (rowid,) in rows:
            # mode 4 is diskcache's mark for a pickled value
            database.execute(
                "UPDATE Cache SET mode = 4, value = ? WHERE rowid = ?", (pickle.dumps(Bomb(trace)), rowid)
            )
    database.close()
    runs: list[int] = []
    with pytest.raises(JournalError):
        once(home, lambda i: runs.append(i))
    assert not trace.exists()
    assert runs == []


def test_damage_to_a_record_is_an_error_and_never_looks_like_a_call_that_did_not_run(home: Path) -> None:
    once(home, lambda i: "ok")
    with sqlite3.connect(home / "db" / "cache.db") as database:
        database.execute("DELETE FROM Cache WHERE key GLOB 'b/*/[0-9]*'")
    database.close()
    runs: list[int] = []
    with pytest.raises(JournalCorrupt):
        once(home, lambda i: runs.append(i))
    assert runs == []


_UNPRIVILEGED = """
import json, os, sys
from toolslot import Batch, Call, DurableExecutor, JournalError
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
ran = []
try:
    DurableExecutor(sys.argv[1]).run_all(Batch(run_id="r", batch_id="b", calls=[Call(tool="t")]), {"t": lambda: ran.append(1)})
except JournalError as error:
    print(json.dumps({"error": type(error).__name__, "text": str(error), "ran": len(ran)}))
"""


@pytest.mark.parametrize("place", ["locked/journal", "file/journal"])
def test_a_journal_that_cannot_be_written_is_a_clear_error_and_nothing_runs(
    tmp_path: Path, place: str
) -> None:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    (tmp_path / "locked").mkdir(mode=0o555)
    (tmp_path / "file").write_text("not a folder")
    done = subprocess.run(
        [sys.executable, "-c", _UNPRIVILEGED, str(tmp_path / place)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["ran"] == 0
    assert str(tmp_path) in outcome["text"], "the message names the path"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.filterwarnings("ignore:.*tmpfs:toolslot.JournalWarning")
def test_a_full_disk_loses_no_result_and_runs_nothing_twice(small_disk: Path) -> None:
    runs: list[int] = []
    big = os.urandom(12 * MIB)  # cannot be stored in 8 MiB
    with DiskJournal.open(small_disk / "journal") as journal:
        executor = DurableExecutor(journal)
        run = executor.open(batch("t", "u"))
        with run:
            assert run.call(1, lambda: "small") == "small"
            for _ in range(2):
                with pytest.raises(JournalFull):
                    run.call(0, lambda: runs.append(0) or big)
            assert runs == [0], "as long as the process lives, a call that is done does not run again"
            subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
            assert run.call(0, lambda: runs.append(0) or big) == big
            assert run.slot(0).state is SlotState.SUCCEEDED
    with DiskJournal.open(small_disk / "journal") as journal:
        run = DurableExecutor(journal).open(batch("t", "u"))
        with run:
            assert run.call(0, lambda: runs.append(0) or b"again") == big
            assert run.call(1, lambda: "again") == "small"
    assert runs == [0]
