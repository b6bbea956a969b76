"""Forked children open the journal anew, as processes of their own, and never touch what their parent has open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.apart import open_apart
from support.batches import reserve
from support.children import PATIENCE, ended_well, in_child
from support.examining import examined
from toolslot._domain._slot import SlotState
from toolslot.journal import DiskJournal, OwnerState
from toolslot.testing._worker import state_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture(autouse=True)
def _forking_with_threads_is_what_is_tested() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield


def test_a_parent_sees_its_child_alive_and_then_dead(journal: DiskJournal) -> None:
    reserve(journal)
    ready, go_on = os.pipe(), os.pipe()

    def work() -> None:
        mine = reserve(journal, batch="the child's")
        journal.enlist(mine.owner)
        os.write(ready[1], b"!")
        os.read(go_on[0], 1)
        os.kill(os.getpid(), signal.SIGKILL)

    pid = in_child(work)
    os.read(ready[0], 1)
    record = journal.load(reserve(journal, batch="the child's").key).result(PATIENCE)
    assert record is not None
    assert state_of(journal, record.fence.owner) is OwnerState.ALIVE
    os.write(go_on[1], b"!")
    os.waitpid(pid, 0)
    assert state_of(journal, record.fence.owner) is OwnerState.DEAD
    for end in (*ready, *go_on):
        os.close(end)


def test_a_child_that_never_uses_the_journal_does_it_no_harm(journal: DiskJournal) -> None:
    worker = reserve(journal)

    def close_it() -> None:
        journal.close()

    assert ended_well(in_child(lambda: None))
    assert ended_well(in_child(close_it))
    worker.start(0)
    assert state_of(journal, worker.owner) is OwnerState.DEAD, (
        "never enlisted, but still this process's to tell"
    )
    assert examined(journal).sound


def test_a_child_that_ends_like_any_python_program_does_the_parent_no_harm(root: Path) -> None:
    # Through the end of the interpreter, where every object goes: SQLite's connection must not.
    run_script(
        """
worker = reserve(journal, 2)
pid = os.fork()
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    worker.run(0)
    assert examined(journal).sound
""",
        str(root),
    )


def test_the_childs_end_leaves_the_parents_locks_in_place(root: Path, journal: DiskJournal) -> None:
    worker = reserve(journal)
    journal.enlist(worker.owner)
    assert ended_well(in_child(lambda: worker.start(0) and journal.close()))
    other = open_apart(root)
    try:
        assert state_of(other, worker.owner) is OwnerState.ALIVE
        for _ in range(3):
            assert ended_well(in_child(lambda: None))
    finally:
        other.close()
    assert worker.finish(0).state is SlotState.SUCCEEDED


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_work_whatever_the_start_method(root: Path, method: str) -> None:
    script = Path(__file__).parent / "forking.py"
    done = subprocess.run(
        [sys.executable, str(script), str(root), method],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def run_script(body: str, *args: str) -> None:
    prelude = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from toolslot.journal import DiskJournal
from support.batches import reserve
from support.children import PATIENCE, ended_well, in_child
from support.examining import examined
journal = DiskJournal.open(sys.argv[1])
"""
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", prelude + body, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
