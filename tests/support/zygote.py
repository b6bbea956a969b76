"""A process that has imported everything and forks: at each request, a child that runs the script's `main(args)`.

Run as a script: `zygote.py SCRIPT FD`, where FD is one end of a socket pair. Requests and replies are JSON, one at a time:

    {"fork": [args], "env": {...}}, with three descriptors: standard output, standard error, status   ->  {"pid": 17}
    {"signal": 17, "number": 9}                                                                     ->  {"sent": true}

A script may have a `prepare(args)`, which is called here before each fork, for what is only loaded when it is first used.
When a child has ended, its exit code (negative: the signal) is written to its status descriptor. The zygote is the parent of all children,
so only it can signal one without ever meeting another process of the same number. It has one thread and opens nothing on a child's behalf.
When the other end of the socket closes, it kills what is left and ends.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


def load(script: Path) -> Any:
    """The script as a module, with everything that it imports."""
    sys.path.insert(0, str(script.parent))
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    return module


class Nursery:
    """The children that live, each with the descriptor that will tell of its end."""

    def __init__(self, control: socket.socket, prepare: Callable[[list[str]], None]) -> None:
        self.control = control
        self.prepare = prepare
        self.living: dict[int, int] = {}
        self.wake, self._woken = os.pipe()
        for fd in (self.wake, self._woken):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)

    def serve(self) -> list[str] | None:
        """Fork on request. Returns in each child, with its arguments; in the zygote None, at the end."""
        while True:
            readable, _, _ = select.select([self.control, self.wake], [], [])
            if self.wake in readable:
                self.reap()
            if self.control in readable:
                data, fds, _, _ = socket.recv_fds(self.control, 1 << 16, 3)
                if not data:
                    self.end()
                    return None
                request = json.loads(data)
                if "fork" in request:
                    self.prepare(request["fork"])
                    if (pid := self.fork(fds)) == 0:
                        os.environ.update(request["env"])
                        return list(request["fork"])
                    self.reply({"pid": pid})
                else:
                    self.reply({"sent": self.signal(request["signal"], request["number"])})

    def reply(self, answer: object) -> None:
        self.control.sendall(json.dumps(answer).encode())

    def fork(self, fds: list[int]) -> int:
        assert threading.active_count() == 1, (
            "a fork copies no thread, and the locks that others hold stay locked"
        )
        out, err, status = fds
        pid = os.fork()
        if pid == 0:
            self.born(out, err)
            return 0
        os.close(out)
        os.close(err)
        self.living[pid] = status
        return pid

    def born(self, out: int, err: int) -> None:
        """In the child: keep nothing of the zygote, nor of the children before."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, fd in enumerate((null, out, err)):
            os.dup2(fd, number)
        self.control.close()
        os.closerange(3, 256)

    def signal(self, pid: int, number: int) -> bool:
        self.reap()
        if pid not in self.living:
            return False
        os.kill(pid, number)
        return True

    def reap(self) -> None:
        try:
            while os.read(self.wake, 4096):
                pass
        except BlockingIOError:
            pass
        for pid in list(self.living):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                fd = self.living.pop(pid)
                os.write(fd, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(fd)

    def end(self) -> None:
        for pid in self.living:
            os.kill(pid, signal.SIGKILL)
        for pid in self.living:
            os.waitpid(pid, 0)


def main() -> None:
    script, fd = Path(sys.argv[1]), int(sys.argv[2])
    module = load(script)
    gc.collect()
    gc.freeze()  # what was imported stays shared between the children
    prepare = getattr(module, "prepare", lambda args: None)
    args = Nursery(socket.socket(fileno=fd), prepare).serve()
    if args is not None:
        module.main(args)


if __name__ == "__main__":
    main()
