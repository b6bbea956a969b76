"""Children forked by a test, which end without their parent's cleanup."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

PATIENCE = 30.0


def in_child(work: Callable[[], None]) -> int:
    """Fork; the child does the work and ends without the parent's cleanup. Its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended_well(pid: int) -> bool:
    """Whether the child ended by itself, in time and without an error."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False
