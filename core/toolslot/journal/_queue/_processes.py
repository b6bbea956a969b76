"""All journals open in this process: carried safely through fork and to the process's end."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

from toolslot._domain._identity import Owner
from toolslot.journal._queue._items import Park, log
from toolslot.journal._queue._writer import Writer

#: seconds that a fork waits for the writers to come to rest
_FORK_PATIENCE = 5.0
#: seconds that the end of the process waits for what is queued
_EXIT_PATIENCE = 10.0


class Member(Protocol):
    """An open journal, as the process sees it."""

    def running(self) -> Writer | None:
        """Its writer, if it has one in this process."""
        ...

    def enlisted(self, owner: Owner) -> bool | None:
        """Whether the owner works on it; None when it is no owner of this journal's process identity."""
        ...

    def forget(self) -> None:
        """This is a forked child: what was opened is the parent's. Open again when needed."""
        ...

    def finish(self, timeout: float) -> None:
        """The process ends: write what is queued, waiting up to `timeout` seconds."""
        ...


class Members:
    """The journals that were opened and not closed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._members: list[Member] = []
        self._parked: list[Park] = []
        self._in_child: list[Callable[[], None]] = []
        self._finalized_by = 0
        self._registered = False

    def add(self, member: Member) -> None:
        self._members.append(member)

    def discard(self, member: Member) -> None:
        if member in self._members:
            self._members.remove(member)

    def in_child(self, forget: Callable[[], None]) -> None:
        """Call this in every forked child, before the members are told."""
        self._in_child.append(forget)

    def begun(self) -> None:
        """A journal is being opened in this process, and diskcache is imported.

        Hooks run before a fork in the reverse order of their registration. Those of diskcache-community stop a thread that
        begins a transaction, so ours must come to rest before them, and be registered after them.
        """
        with self.lock:
            if not self._registered:
                self._registered = True
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(
                        before=self.before_fork,
                        after_in_parent=self.after_fork_in_parent,
                        after_in_child=self.after_fork_in_child,
                    )
        self._finalize_children()

    def _finalize_children(self) -> None:
        """A child of multiprocessing runs no `atexit`, but finalizers of its own."""
        if "multiprocessing" not in sys.modules or self._finalized_by == os.getpid():
            return
        import multiprocessing.util

        self._finalized_by = os.getpid()
        if multiprocessing.parent_process() is not None:
            multiprocessing.util.Finalize(None, self.finish, exitpriority=0)

    def enlisted(self, owner: Owner) -> bool | None:
        """Whether the owner is at work in this process; None when it is not an owner of this process."""
        answers = [member.enlisted(owner) for member in list(self._members)]
        known = [answer for answer in answers if answer is not None]
        return any(known) if known else None

    def before_fork(self) -> None:
        """Bring every writer to rest outside its store, whose own locks a child would inherit in whatever state they are."""
        self.lock.acquire()
        deadline = time.monotonic() + _FORK_PATIENCE
        for member in self._members:
            writer = member.running()
            if writer is not None and writer.alive and not writer.is_current_thread():
                park = Park()
                self._parked.append(park)
                writer.put(park)
        for park in self._parked:
            if not park.parked.wait(max(deadline - time.monotonic(), 0)):
                log.warning(
                    "a journal was still busy when the process forked; if the child hangs, fork while it is idle"
                )

    def after_fork_in_parent(self) -> None:
        for park in self._parked:
            park.resume.set()
        self._parked.clear()
        self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock = threading.Lock()
        self._parked = []
        for forget in self._in_child:
            forget()
        for member in self._members:
            member.forget()

    def finish(self) -> None:
        """Called at exit, after the main thread and all threads that are no daemons have ended."""
        deadline = time.monotonic() + _EXIT_PATIENCE
        for member in list(self._members):
            member.finish(max(deadline - time.monotonic(), 0.1))


members = Members()
atexit.register(members.finish)
