"""Real child processes that are driven by events: they say a word on a pipe, the test answers with a signal."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent


class Child:
    """A Python script in a process of its own. Its standard output is a stream of lines; the last may be a JSON report."""

    def __init__(self, script: Path, *args: str, env: dict[str, str] | None = None) -> None:
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, str(script), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, **(env or {})},
        )
        self._seen: list[str] = []
        self._rest = b""

    def await_line(self, word: str, timeout: float = 60.0) -> None:
        """Return once the child has printed `word` on a line of its own."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while word not in self._seen:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise AssertionError(f"no {word!r} within {timeout} s; so far: {self._seen}")
                chunk = os.read(self.process.stdout.fileno(), 65536)
                if not chunk:
                    raise AssertionError(f"the child ended without {word!r}: {self._seen}\n{self._errors()}")
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                self._seen += [line.decode() for line in lines]

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.communicate()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def report(self, timeout: float = 90.0) -> Any:
        """The JSON on the child's last line, once it has ended by itself with exit code 0."""
        out, err = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, err.decode()
        lines = (self._rest + out).decode().splitlines()
        return json.loads(lines[-1])

    def _errors(self) -> str:
        _, err = self.process.communicate(timeout=10)
        return err.decode()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def run(script: Path, args: Sequence[str], *, env: dict[str, str] | None = None) -> Any:
    """Start the script, let it end, and give its report."""
    with Child(script, *args, env=env) as child:
        return child.report()
