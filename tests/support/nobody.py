"""A second user of the machine: real files, a real process without our rights."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: the user that owns nothing
NOBODY = 65534

needs_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can become another user"
)


@contextmanager
def common_ground(mode: int = 0o755) -> Iterator[Path]:
    """A folder that every user may enter. Not pytest's own: that is closed to others, and other runs of pytest close it again."""
    with tempfile.TemporaryDirectory(prefix="toolslot-test-") as name:
        folder = Path(name)
        folder.chmod(mode)
        yield folder


def as_nobody(code: str, *args: str, imports: str = "import os") -> str:
    """What a program printed that ran as another user. `imports` are done before: that user may not read our modules."""
    become = f"import os, sys\nsys.path[:] = {sys.path!r}\n{imports}\nos.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    command = [sys.executable, "-c", become + code, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout
