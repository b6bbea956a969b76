"""The shop of `mcp_server` over HTTP, as a process of its own that outlives the agents which call it; and how agents reach it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import mcp_server

SERVER = str(Path(mcp_server.__file__))


@contextmanager
def serving(ledger: Path) -> Iterator[str]:
    """The address of a shop that runs meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with subprocess.Popen([sys.executable, SERVER, str(ledger), str(port)]) as process:
        try:
            deadline = time.monotonic() + 60
            while not _listens(port):
                assert process.poll() is None, "the shop has ended"
                assert time.monotonic() < deadline, "the shop does not open"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def orders(ledger: Path) -> list[list[str]]:
    """What was ordered: key, number, and the header that came with it."""
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [line.split("|")[1:] for line in lines if line.startswith("order|")]
