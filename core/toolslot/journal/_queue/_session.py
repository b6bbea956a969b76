"""What a process has of a journal, opened at the first use and again in every forked child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._identity import Owner, ProcessIdentity
from toolslot._errors import JournalClosed
from toolslot.journal._queue._items import ReadItem, Stop, log
from toolslot.journal._queue._processes import members
from toolslot.journal._queue._store import Store, View
from toolslot.journal._queue._writer import Writer


@dataclass(slots=True)
class Core:
    """An open journal in one process."""

    pid: int
    process: ProcessIdentity
    writer: Writer


class BackEnd(Protocol):
    """What a session does not know of the journal it opens."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    def begin(self) -> tuple[ProcessIdentity, Callable[[], Store]]:
        """Called before each opening: under which identity this process has it, and what opens the store, in the writer's thread.

        Raises:
            JournalError: it cannot be opened.
        """
        ...

    def enlisted(self, process: ProcessIdentity, owner: Owner) -> bool | None:
        """Whether the owner works on the journal that is open as `process`; None when it is none of its owners."""
        ...

    def ending(self, process: ProcessIdentity) -> None:
        """Called before the journal that is open as `process` is closed."""
        ...


class Session:
    """An open journal, which is carried through forks and to the end of the process (see `Member`)."""

    def __init__(self, back_end: BackEnd) -> None:
        self._back_end = back_end
        self._lock = threading.Lock()
        self._core: Core | None = None
        self._closed = False

    def live(self) -> Core:
        """What this process has open.

        Raises:
            JournalClosed: the journal was closed.
            JournalError: it cannot be opened.
        """
        core = self._core
        if core is not None and core.pid == os.getpid():
            return core
        if core is not None:
            self.forget()  # forked past Python's own fork
        with self._lock:
            if self._closed:
                raise JournalClosed(f"the journal {self._back_end.name} was closed; open it again to use it.")
            if self._core is None:
                process, open_store = self._back_end.begin()
                writer = Writer(self._back_end.name, open_store)
                members.begun()
                writer.start()
                self._core = Core(os.getpid(), process, writer)
            return self._core

    def present(self) -> Core | None:
        """What is open, without opening it."""
        return self._core

    def flush(self) -> None:
        """Wait until what is queued is written."""
        core = self._core
        if core is None or core.pid != os.getpid() or core.writer.is_current_thread():
            return
        written = ReadItem(_nothing)
        with suppress(Exception):  # who waits for a write is told why it failed
            core.writer.put(written)
            written.future.result()

    def end(self, timeout: float | None = None) -> None:
        """Write what is queued and let go of everything; wait for that up to `timeout` seconds."""
        with self._lock:
            core, self._core, self._closed = self._core, None, True
        if core is None or core.pid != os.getpid():
            return
        self._back_end.ending(core.process)
        reach(CrashPoint.BEFORE_CLOSE)
        core.writer.put(Stop())
        if not core.writer.is_current_thread() and not core.writer.join(timeout):
            log.warning(
                "the journal %s did not come to an end within %s s; what was not acknowledged may be lost",
                self._back_end.name,
                timeout,
            )

    # --- Member ---------------------------------------------------------------------------------------------------------

    def running(self) -> Writer | None:
        return None if self._core is None else self._core.writer

    def enlisted(self, owner: Owner) -> bool | None:
        core = self._core
        if core is None or owner.process != core.process:
            return None
        return self._back_end.enlisted(core.process, owner)

    def forget(self) -> None:
        self._lock = threading.Lock()
        core, self._core = self._core, None
        if core is not None:
            core.writer.abandon()

    def finish(self, timeout: float) -> None:
        self.end(timeout)


def _nothing(_: View) -> None:
    """A question whose answer tells that everything before it is written."""
