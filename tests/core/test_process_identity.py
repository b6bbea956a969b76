"""Who works on a batch: never the same for two processes, the same throughout one."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest

from toolslot import UnreadablePayload
from toolslot._domain._identity import Owner, ProcessIdentity
from toolslot.journal._process import this_process


def test_a_process_is_the_same_at_every_call_and_in_every_thread() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: this_process(), range(100)))
    assert found == {this_process()}
    assert this_process().pid == os.getpid()


FIRST_CALLS = """
import sys, threading
from toolslot.journal._process import this_process

sys.setswitchinterval(1e-6)
found, barrier = [], threading.Barrier(16)

def look():
    barrier.wait()
    found.append(this_process())

threads = [threading.Thread(target=look) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(set(found)) == 1, found
"""


def test_threads_that_ask_first_at_the_same_time_get_one_identity() -> None:
    subprocess.run([sys.executable, "-c", FIRST_CALLS], check=True)


def identity_of_new_process() -> ProcessIdentity:
    code = "import json; from toolslot.journal._process import this_process; print(json.dumps(this_process().to_json()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ProcessIdentity.from_json(json.loads(done.stdout))


def test_case_27_two_process_starts_are_never_the_same() -> None:
    first, second = identity_of_new_process(), identity_of_new_process()
    assert first.token != second.token
    assert first.host == second.host == this_process().host


def test_the_start_of_a_process_is_when_it_started() -> None:
    before = datetime.now(timezone.utc).timestamp()
    started = identity_of_new_process().started
    after = datetime.now(timezone.utc).timestamp()
    assert before - 2 <= started <= after + 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_start_is_found_whatever_the_program_is_called(tmp_path: Path) -> None:
    program = tmp_path / "py) S 1 (x"
    program.symlink_to(Path(sys.executable).resolve())
    code = "from toolslot.journal import _process; print(_process._started_on_linux())"
    before = datetime.now(timezone.utc).timestamp()
    done = subprocess.run(
        [str(program), "-c", code],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert abs(float(done.stdout) - before) < 3


FORKING = """
import json, os, sys
from toolslot.journal._process import this_process

def identities(depth):
    mine = this_process()
    assert mine == this_process()
    print(json.dumps(mine.to_json()), flush=True)
    if depth and os.fork() == 0:
        identities(depth - 1)
        os._exit(0)
    if depth:
        assert os.wait()[1] == 0

identities(3)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_another_process() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=True)
    found = [ProcessIdentity.from_json(json.loads(line)) for line in done.stdout.splitlines()]
    assert len({each.token for each in found}) == len({each.pid for each in found}) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_gets_a_known_pid_is_another_process() -> None:
    """The pids of ancestors that died can come again; what was remembered for them must not."""
    code = """
import os
from toolslot.journal import _process
mine = _process.this_process()
if os.fork() == 0:
    os.getpid = lambda: mine.pid
    os._exit(0 if _process.this_process() != mine else 3)
assert os.WEXITSTATUS(os.wait()[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


PROCESS = ProcessIdentity(host="a", pid=1, started=1.5, token="t")
OWNER = Owner(process=PROCESS, token="run")


def test_an_owner_goes_through_json() -> None:
    assert Owner.from_json(json.loads(json.dumps(OWNER.to_json()))) == OWNER
    whole = ProcessIdentity.from_json({**PROCESS.to_json(), "started": 2})
    assert (whole.started, type(whole.started)) == (2.0, float)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"token": "t"},
        {"process": PROCESS.to_json()},
        {"process": None, "token": "t"},
        {"process": PROCESS.to_json(), "token": 1},
        *(
            {"process": {**PROCESS.to_json(), name: value}, "token": "t"}
            for name, values in {
                "host": [None, 1],
                "pid": [None, "1", True, 1.0],
                "started": [None, "1", True, math.nan, math.inf, -1, 1e300],
                "token": [None, 1],
            }.items()
            for value in values
        ),
    ],
)
def test_a_damaged_owner_is_refused(data: object) -> None:
    with pytest.raises(UnreadablePayload):
        Owner.from_json(data)


def test_an_owner_is_shown_in_one_printable_line() -> None:
    strange = Owner(
        process=ProcessIdentity(host="a\n\x1b", pid=1, started=2.0**39, token="\ud800"), token="\x00"
    )
    assert str(strange).isprintable()
    assert str(OWNER) == "process 1 on 'a' (started 1970-01-01T00:00:01Z, 't'), batch run 'run'"
