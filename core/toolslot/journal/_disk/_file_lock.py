"""POSIX record locks on whole files: owned by the process, freed by the kernel when it dies."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

from toolslot._errors import JournalUnsupported

#: for `os.open`: fail at a symbolic link (where there are such flags)
NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

_HELD_ELSEWHERE = (errno.EACCES, errno.EAGAIN)


def no_locks() -> JournalUnsupported:
    """What to say on Windows."""
    return JournalUnsupported(
        "a journal in a directory needs POSIX file locks, which Windows does not have. Run the agent in the Windows Subsystem for Linux"
        " (WSL 2), with the journal on its own disk; or use journal=MemoryJournal(): limits, retries and timeouts hold, and nothing is"
        " recovered."
    )


if sys.platform == "win32":

    def lock(descriptor: int) -> None:
        """Wait for an exclusive lock."""
        _refuse(descriptor)

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Whether the lock was free."""
        _refuse(descriptor, shared)

    def unlock(descriptor: int) -> None:
        """Give the lock back."""
        _refuse(descriptor)

    def _refuse(*_: object) -> NoReturn:
        raise no_locks()

else:
    import fcntl

    def lock(descriptor: int) -> None:
        """Wait for an exclusive lock."""
        fcntl.lockf(descriptor, fcntl.LOCK_EX)

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Whether the lock was free."""
        try:
            fcntl.lockf(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD_ELSEWHERE:
                return False
            raise
        return True

    def unlock(descriptor: int) -> None:
        """Give the lock back."""
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
