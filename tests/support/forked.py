"""Children that start in a few milliseconds, forked from a process that has already imported what they need."""

from __future__ import annotations

import atexit
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
ZYGOTE = Path(__file__).parent / "zygote.py"


class Zygote:
    """The process that forks; one for each script, started at its first use and ended with the tests."""

    def __init__(self, script: Path) -> None:
        self._control, theirs = socket.socketpair()
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, str(ZYGOTE), str(script), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": path},
        )
        theirs.close()
        self._one_at_a_time = threading.Lock()
        atexit.register(self.close)

    def fork(self, args: Sequence[str], env: Mapping[str, str], fds: Sequence[int]) -> int:
        """The process id of a new child; `fds`: where its output, its errors and its exit code go."""
        request = json.dumps({"fork": list(args), "env": dict(env)}).encode()
        with self._one_at_a_time:
            socket.send_fds(self._control, [request], list(fds))
            return int(self._answer()["pid"])

    def signal(self, pid: int, number: int) -> bool:
        """Whether the child lived to be signalled."""
        with self._one_at_a_time:
            self._control.sendall(json.dumps({"signal": pid, "number": int(number)}).encode())
            return bool(self._answer()["sent"])

    def close(self) -> None:
        self._control.close()
        self._process.wait(30)

    def _answer(self) -> Any:
        data = self._control.recv(1 << 16)
        assert data, f"the zygote has ended: {self._process.wait(10)}"
        return json.loads(data)


_starting = threading.Lock()


def zygote(script: Path) -> Zygote:
    """The one of this script; any thread may ask."""
    with _starting:
        return _started(script)


@functools.cache
def _started(script: Path) -> Zygote:
    return Zygote(script)


class Child:
    """A script with a `main(args)`, in a process of its own. Its standard output is a stream of lines; the last may be a JSON report."""

    def __init__(self, script: Path, *args: str, env: Mapping[str, str] | None = None) -> None:
        self._zygote = zygote(script)
        self._out, out = os.pipe()
        self._status, status = os.pipe()
        self._err = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the child
        self.pid = self._zygote.fork(args, env or {}, (out, self._err.fileno(), status))
        os.close(out)
        os.close(status)
        self._seen: list[str] = []
        self._rest = b""
        self.returncode: int | None = None

    def await_line(self, word: str, timeout: float = 60.0) -> None:
        """Return once the child has printed `word` on a line of its own."""
        deadline = time.monotonic() + timeout
        while word not in self._seen:
            if not self._read(deadline):
                raise AssertionError(f"the child ended without {word!r}: {self._seen}\n{self.errors()}")

    def await_sign(self, fd: int, timeout: float = 60.0) -> None:
        """Return once `fd` can be read, which the child is to bring about before it ends."""
        with selectors.DefaultSelector() as selector:
            for end in (fd, self._status):
                selector.register(end, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(timeout)}
        if fd not in ready:
            how = "ended" if ready else "did nothing in time"
            raise AssertionError(f"the child {how} without the sign\n{self.errors()}")

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.signal(signal.SIGKILL)
        self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Nothing happens when the child has ended."""
        self._zygote.signal(self.pid, number)

    def wait(self, timeout: float = 60.0) -> int:
        """The exit code, once the child has ended."""
        if self.returncode is None:
            self._await(self._status, time.monotonic() + timeout)
            self.returncode = int(os.read(self._status, 64))
        return self.returncode

    def report(self, timeout: float = 90.0) -> Any:
        """The JSON on the child's last line, once it has ended by itself with exit code 0."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        assert self.wait() == 0, self.errors()
        return json.loads(self._seen[-1])

    def ended(self, timeout: float = 60.0) -> tuple[int, Any]:
        """The exit code, and the JSON on the child's last line; None when it printed none."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        code = self.wait(max(deadline - time.monotonic(), 1.0))
        try:
            return code, json.loads(self._seen[-1]) if self._seen else None
        except ValueError:
            return code, None

    def _read(self, deadline: float) -> bool:
        """Take in what the child has printed; False once it has closed its output."""
        self._await(self._out, deadline)
        chunk = os.read(self._out, 65536)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._seen += [line.decode() for line in lines]
        return bool(chunk)

    def _await(self, fd: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise AssertionError(f"nothing more in time; so far: {self._seen}\n{self.errors()}")

    def errors(self) -> str:
        """What it has written to its standard error."""
        self._err.seek(0)
        return self._err.read().decode()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.returncode is None:
            self.kill()
        os.close(self._out)
        os.close(self._status)
        self._err.close()


def run(script: Path, args: Sequence[str], *, env: Mapping[str, str] | None = None) -> Any:
    """Start the script, let it end, and give its report."""
    with Child(script, *args, env=env) as child:
        return child.report()
