"""SQLite up to 3.51.2 can lose commits when two checkpoints meet a commit. The journal's lock keeps them apart, whatever the engine:
several processes commit, and move the log after every commit, until they are killed; then SQLite finds the database sound, and all that
was acknowledged is there. TOOLSLOT_WAL_SECONDS sets for how long at least (default: some seconds).
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

from crash.journal.storm import say, work
from support.acknowledged import Acknowledged, verify
from support.examining import examined
from toolslot.journal import DiskJournal
from toolslot.journal._disk import _store

SECONDS = float(os.environ.get("TOOLSLOT_WAL_SECONDS", "10"))
PROCESSES = 6
#: checkpoints before which it does not end, on a busy machine
ENOUGH = 50
PATIENCE = 120.0


class Restless(_store.Store):
    """Moves its log all the time, now and then all of it, so that the next commit begins the log anew."""

    moved = 0

    def _wrote(self, size: int) -> None:
        super()._wrote(size)
        self.upkeep_due = True

    def checkpoint(self, *, truncate: bool = False, timeout: float | None = None) -> None:
        Restless.moved += 1
        super().checkpoint(truncate=truncate or Restless.moved % 7 == 0, timeout=timeout)
        say("moved")


def main(root: str, seed: str) -> None:
    from toolslot.journal._disk import _back_end

    _back_end.Store = Restless  # type: ignore[misc]
    journal = DiskJournal.open(root, durability="process")
    for number in range(2):
        name = f"{seed}-{number}"
        threading.Thread(target=work, args=(journal, name, random.Random(name)), daemon=True).start()
    sys.stdin.read()


def test_nothing_is_lost_when_commits_and_checkpoints_come_thick_and_fast(tmp_path: Path) -> None:
    root = tmp_path / "journal"
    DiskJournal.open(root).close()
    victims = [_victim(root, f"v{number}", tmp_path) for number in range(PROCESSES)]
    until = time.monotonic() + SECONDS
    while time.monotonic() < until or _moved(tmp_path) < ENOUGH:
        time.sleep(0.5)
        assert time.monotonic() < until + PATIENCE
    for victim in victims:
        assert victim.poll() is None, "it works until it is killed"
        victim.kill()
        victim.communicate()
    moved, acknowledged = _moved(tmp_path), Acknowledged()
    for number in range(PROCESSES):
        lines = [line.split() for line in (tmp_path / f"v{number}").read_text().splitlines()]
        acknowledged.take(line for line in lines if line != ["moved"])
    with DiskJournal.open(root) as journal:
        compared = verify(journal, acknowledged)
        assert examined(journal).sound  # SQLite's own check among others
    print(
        f"sqlite={sqlite3.sqlite_version} checkpoints={moved} compared={compared} purged={len(acknowledged.purged)}"
    )
    assert compared


def _moved(said: Path) -> int:
    return sum((said / f"v{number}").read_bytes().count(b"moved\n") for number in range(PROCESSES))


def _victim(root: Path, seed: str, said: Path) -> subprocess.Popen[bytes]:
    with (said / seed).open("wb") as out:
        return subprocess.Popen(
            [sys.executable, __file__, str(root), seed],
            stdin=subprocess.PIPE,
            stdout=out,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
