"""Who this process is, to the journals that it opens."""

from __future__ import annotations

import os
import secrets
import socket
import time
from pathlib import Path

from toolslot._domain._identity import ProcessIdentity


def this_process() -> ProcessIdentity:
    """This process: the same at each call, another one in a forked child."""
    pid = os.getpid()
    # The pid tells a child made past Python's own fork; `setdefault` settles which of two threads was first.
    return _mine.get(pid) or _mine.setdefault(pid, _identify(pid))


def _identify(pid: int) -> ProcessIdentity:
    return ProcessIdentity(
        host=socket.gethostname(),
        pid=pid,
        started=_started_on_linux() or (_imported if pid == _imported_by else time.time()),
        token=secrets.token_hex(8),
    )


def _started_on_linux() -> float | None:
    """The start of this process by /proc; None where there is none, or it reads differently."""
    try:
        # The name of the program comes before and may hold blanks and brackets.
        fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        ticks = int(fields[19])
        lines = Path("/proc/stat").read_text(errors="replace").splitlines()
        booted = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return booted + ticks / os.sysconf("SC_CLK_TCK")
    except (AttributeError, IndexError, OSError, StopIteration, ValueError, ZeroDivisionError):
        return None


_imported = time.time()
_imported_by = os.getpid()
_mine: dict[int, ProcessIdentity] = {}

if hasattr(os, "register_at_fork"):
    # Not by the pid alone: a grandchild may get the pid of a process that is in the dict.
    os.register_at_fork(after_in_child=_mine.clear)
