"""Starts agents as processes of their own, kills them, and leaves none behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from time import monotonic
from types import TracebackType

from typing_extensions import Self

from toolslot._errors import ToolslotError

_UNWANTED = ("LANGCHAIN_", "LANGSMITH_", "TOOLSLOT_")

#: shown of an agent's own error output
_LINES = 12


class DemoFailed(ToolslotError):
    """The demo could not be shown. It says nothing about the promise."""


def agent_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """`ours` without the settings that would change the story or send it to a tracing service.

    Nor may a file in the current folder stand in for a module of the agent's.
    """
    env = {name: value for name, value in ours.items() if not name.startswith(_UNWANTED)}
    return env | {"PYTHONSAFEPATH": "1"}


class Deadline:
    """The time all of it may take: `seconds` from now, by `clock`."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._started = clock()

    @property
    def spent(self) -> float:
        return self._clock() - self._started

    @property
    def left(self) -> float:
        """Never below 0."""
        return max(0.0, self.seconds - self.spent)

    def missed(self, waiting_for: str) -> DemoFailed:
        return DemoFailed(
            f"waited {self.seconds:.0f} s in all, and still {waiting_for}. "
            f"On a slow machine give it more time: toolslot demo --seconds {self.seconds * 3:.0f}"
        )


class Agent:
    """One running agent process. Its output goes to `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    def kill(self) -> None:
        """SIGKILL (TerminateProcess on Windows): no handler, no `finally`, nothing flushed. Returns after."""
        self._process.kill()
        self._process.wait()

    def check_alive(self) -> None:
        """Raises `DemoFailed` with the end of its output if it ended by itself."""
        if self._process.poll() is not None:
            raise self._ended()

    def wait(self, deadline: Deadline) -> None:
        """Until it ends well; raises `DemoFailed` when it ends badly or too late."""
        while deadline.left:
            try:
                code = self._process.wait(timeout=min(0.2, deadline.left))
            except subprocess.TimeoutExpired:
                continue
            if code:
                raise self._ended()
            return
        raise deadline.missed("the resumed agent had not finished")

    def _ended(self) -> DemoFailed:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
        said = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
        return DemoFailed(
            f"an agent process ended early, with code {self._process.returncode}. It said:\n{said}"
        )


class Agents:
    """Starts agents from any thread. After the `with` block all of them are dead and no new one starts."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._started: list[Agent] = []
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, module: str, arguments: Sequence[str], log: Path) -> Agent:
        with self._lock:
            if self._over:
                raise DemoFailed("the demo was stopped")
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", module, *arguments],
                    env=agent_environment(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            agent = Agent(process, log)
            self._started.append(agent)
        return agent

    def stop(self) -> None:
        with self._lock:
            self._over = True
            for agent in self._started:
                agent.kill()
