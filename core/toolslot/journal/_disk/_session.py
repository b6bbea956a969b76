"""What a process has of a journal, opened at the first use and anew in every forked child."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial

from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._identity import Owner, OwnerState, ProcessIdentity
from toolslot._errors import JournalClosed
from toolslot.journal._disk import _commit_lock, _owner_lock
from toolslot.journal._disk._cache import diskcache
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._filesystem import check, locks_are_shared
from toolslot.journal._disk._options import Options
from toolslot.journal._disk._place import Place, prepare
from toolslot.journal._disk._read_store import ReadStore
from toolslot.journal._disk._store import Store
from toolslot.journal._disk._view import Snapshot
from toolslot.journal._queue._items import ReadItem, Stop, log
from toolslot.journal._queue._processes import members
from toolslot.journal._queue._writer import Writer

members.in_child(_commit_lock.forget_after_fork)
members.in_child(_owner_lock.forget_after_fork)


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Under which terms a journal is opened."""

    options: Options
    allow_network: bool = False
    read_only: bool = False
    #: a token of its own lets two journals of one process behave like two processes
    own_identity: bool = False


@dataclass(slots=True)
class Core:
    """An open journal in one process."""

    pid: int
    process: ProcessIdentity
    writer: Writer[Snapshot]


class Session:
    """Opens and ends the `Core` of the current process. A `Member` of the process's journals."""

    def __init__(self, place: Place, terms: Terms) -> None:
        self.place = place
        self.terms = terms
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
                raise JournalClosed(f"the journal {self.place.root} was closed; open it again to use it.")
            if self._core is None:
                self._core = self._start()
            return self._core

    def _start(self) -> Core:
        place, terms = self.place, self.terms
        durable = terms.options.synchronous > 1 and not terms.read_only
        check(place.root, allow_network=terms.allow_network, durable=durable, writes=not terms.read_only)
        if not terms.read_only:
            try:
                prepare(place)
            except OSError as error:
                raise translate(error, str(place.root)) from error
        process = ProcessIdentity.current()
        if terms.own_identity:
            process = replace(process, token=secrets.token_hex(8))

        def open_store() -> ReadStore:
            look = partial(_state_of, place, process.host)
            return (
                ReadStore(place, look, terms.options.encryption)
                if terms.read_only
                else Store(place, look, terms.options, process.token)
            )

        writer = Writer(str(place.root), open_store)
        with suppress(ImportError) if terms.read_only else nullcontext():
            diskcache()
        members.begun()
        writer.start()
        return Core(os.getpid(), process, writer)

    def flush(self) -> None:
        """Wait until what is queued is written."""
        core = self._core
        if core is None or core.pid != os.getpid() or core.writer.is_current_thread():
            return
        written = ReadItem[Snapshot](lambda _: None)
        with suppress(Exception):  # whoever waits for a write is told of its fault
            core.writer.put(written)
            written.future.result()

    def end(self, timeout: float | None = None) -> None:
        """Write what is queued and let go of everything; wait for that up to `timeout` seconds."""
        with self._lock:
            core, self._core, self._closed = self._core, None, True
        if core is None or core.pid != os.getpid():
            return
        if self.terms.own_identity:  # to the others this is the death of a process
            for owner in _owner_lock.at_work(self.place.owners, core.process.token):
                _owner_lock.retire(self.place.owners, owner)
        reach(CrashPoint.BEFORE_CLOSE)
        core.writer.put(Stop())
        if not core.writer.is_current_thread() and not core.writer.join(timeout):
            log.warning(
                "the journal %s did not come to an end within %s s; what was not acknowledged may be lost",
                self.place.root,
                timeout,
            )

    def present(self) -> Core | None:
        """What is open, without opening it."""
        return self._core

    # --- Member -------------------------------------------------------------------------------------------------

    def running(self) -> Writer[Snapshot] | None:
        return None if self._core is None else self._core.writer

    def enlisted(self, owner: Owner) -> bool | None:
        core = self._core
        if core is None or owner.process != core.process or self.terms.read_only:
            return None
        return owner in _owner_lock.at_work(self.place.owners, core.process.token)

    def forget(self) -> None:
        self._lock = threading.Lock()
        core, self._core = self._core, None
        if core is not None:
            core.writer.abandon()

    def finish(self, timeout: float) -> None:
        self.end(timeout)


def _state_of(place: Place, host: str, owner: Owner) -> OwnerState:
    here = members.enlisted(owner)
    if here is not None:
        return OwnerState.ALIVE if here else OwnerState.DEAD
    if owner.process.host != host and not locks_are_shared(place.root):
        return OwnerState.UNKNOWN
    match _owner_lock.is_dead(place.owners, owner.process.token):
        case None:
            return OwnerState.UNKNOWN
        case dead:
            return OwnerState.DEAD if dead else OwnerState.ALIVE
