"""The file-based journal."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, TypeVar, cast

from toolslot._errors import InvalidSetting, JournalBusy, JournalClosed
from toolslot._identity import Owner, ProcessIdentity
from toolslot._slot import BatchKey, BatchRecord
from toolslot.journal._disk import _reads
from toolslot.journal._disk._filesystem import check, locks_are_shared
from toolslot.journal._disk._items import ReadItem, Stop, WriteItem, log
from toolslot.journal._disk._owner_lock import is_dead
from toolslot.journal._disk._place import Place, prepare, resolve
from toolslot.journal._disk._processes import members
from toolslot.journal._disk._store import Options, Store
from toolslot.journal._disk._view import Snapshot
from toolslot.journal._disk._writer import Writer
from toolslot.journal._operations import Operation
from toolslot.journal._port import OwnerState

T = TypeVar("T")

Durability = Literal["power", "process"]
_SYNCHRONOUS = {"power": 2, "process": 1}

#: operations that may wait for the writer before `submit` refuses more
_MOST_WAITING = 100_000


@dataclass(slots=True)
class _Core:
    """What one process has of a journal: thrown away, never closed, in a forked child."""

    pid: int
    process: ProcessIdentity
    writer: Writer
    enlisted: set[Owner] = field(default_factory=lambda: set())


class DiskJournal:
    """A journal in a directory of this machine, for any number of its processes. Get it from `open`.

    Safe to use from any thread, and in forked children, which open it anew as a process of their own at the first use. A process has
    one `DiskJournal` for a directory, however often it is opened; it is closed when `close` was called as often. An agent need not
    close it: at the end of the process what is queued is written.

    Do not open, copy or archive the files of an open journal from within its process: closing any descriptor of a file drops the locks
    that the process has on it. Copies of an open journal are made by another process, with `sqlite3 db/cache.db ".backup ..."`.
    """

    def __init__(
        self,
        place: Place,
        options: Options,
        durability: Durability,
        *,
        allow_network: bool = False,
        own_identity: bool = False,
    ) -> None:
        self._place = place
        self._options = options
        self._allow_network = allow_network
        #: a token of its own lets two journals of one process behave like two processes
        self._own_identity = own_identity
        self._lock = threading.Lock()
        self._core: _Core | None = None
        #: what forked children were born with: kept for ever, since letting SQLite close it would harm the parent
        self._inherited: list[_Core] = []
        self._users = 0
        self._closing = False
        self._ended = threading.Event()
        self.durability = durability

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power",
        lock_timeout: float = 30.0,
        max_result_bytes: int = 64 * 2**20,
        allow_network: bool = False,
    ) -> DiskJournal:
        """Open the journal in the directory `path`, or begin a new one there.

        Args:
            path: A directory that this user alone can write, on a local file system. It is created when missing.
            durability: With "power" an acknowledged record survives a power cut; with "process" only the death of the process, for
                somewhat less time per commit.
            lock_timeout: Seconds that an operation waits for another process's commit before it fails with `JournalBusy`.
            max_result_bytes: Larger arguments and results are refused with `NotStorable`.
            allow_network: Use a network file system all the same. Its locks must hold between all processes that use the journal.

        When the process has it open already, that journal is returned, with the settings it has.

        Raises:
            JournalError: there is no journal to be had here; the subclass and the message say why and what to do.
            InvalidSetting: a setting means nothing, or the journal is open with another durability.
        """
        options = _options(durability, lock_timeout, max_result_bytes)
        place = resolve(path)
        journal = cls._join(place, options, durability, allow_network=allow_network)
        try:
            journal._live()
        except BaseException:
            journal.close()
            raise
        if journal.durability != durability:
            journal.close()
            raise InvalidSetting(
                f"the journal {place.root} is open in this process with durability={journal.durability!r}, now {durability!r} is asked"
                " for. Use one setting for all, or close it first."
            )
        return journal

    @classmethod
    def _join(
        cls, place: Place, options: Options, durability: Durability, *, allow_network: bool
    ) -> DiskJournal:
        """This process's journal for the place, with one more user. Waits for one that is just being closed."""
        while True:
            with members.lock:
                journal = _open.get(place)
                if journal is None:
                    journal = _open[place] = cls(place, options, durability, allow_network=allow_network)
                    members.add(journal)
                if not journal._closing:
                    journal._users += 1
                    return journal
            journal._ended.wait()

    @classmethod
    def _open_apart(cls, path: str | os.PathLike[str], **settings: float) -> DiskJournal:
        """A journal that this process shares with nobody, under an identity of its own: what another process would be. For tests."""
        options = _options("power", settings.get("lock_timeout", 30.0), 64 * 2**20)
        journal = cls(resolve(path), options, "power", own_identity=True)
        with members.lock:
            journal._users = 1
            members.add(journal)
        journal._live()
        return journal

    # --- the port -------------------------------------------------------------------------------------------------------

    @property
    def location(self) -> str:
        return str(self._place.root)

    @property
    def process(self) -> ProcessIdentity:
        return self._live().process

    def submit(self, operation: Operation[T]) -> Future[T]:
        item = WriteItem(operation)
        writer = self._live().writer
        if writer.waiting > _MOST_WAITING:
            raise JournalBusy(
                f"{writer.waiting} operations wait for the journal {self.location} already. Nothing was recorded by this one: wait for"
                " some of the futures before submitting more."
            )
        writer.put(item)
        return cast("Future[T]", item.future)

    def load(self, key: BatchKey) -> Future[BatchRecord | None]:
        return self._ask(lambda view: _reads.record(view, key))

    def keys(self, run_id: str | None = None) -> Future[tuple[BatchKey, ...]]:
        return self._ask(lambda view: _reads.batch_keys(view, run_id))

    def run_payload(self, run_id: str) -> Future[bytes | None]:
        return self._ask(lambda view: _reads.run_payload(view, run_id))

    def _ask(self, read: Callable[[Snapshot], T]) -> Future[T]:
        item = ReadItem(read)
        self._live().writer.put(item)
        return cast("Future[T]", item.future)

    def enlist(self, owner: Owner) -> None:
        self._live().enlisted.add(owner)

    def retire(self, owner: Owner) -> None:
        core = self._core
        if core is not None:
            core.enlisted.discard(owner)

    def owner_state(self, owner: Owner) -> OwnerState:
        core = self._live()
        here = members.enlisted(owner)
        if here is not None:
            return OwnerState.ALIVE if here else OwnerState.DEAD
        if owner.process.host != core.process.host and not locks_are_shared(self._place.root):
            return OwnerState.UNKNOWN
        dead = is_dead(self._place.owners, owner.process.token)
        if dead is None:
            return OwnerState.UNKNOWN
        return OwnerState.DEAD if dead else OwnerState.ALIVE

    def close(self) -> None:
        """Let go of the journal, once for every `open`. The last one writes what is queued and waits for it."""
        with members.lock:
            if self._users == 0:
                return
            self._users -= 1
            if self._users:
                return
            self._closing = True
        try:
            self._stop(None)
        finally:
            with members.lock:
                if _open.get(self._place) is self:
                    del _open[self._place]
                members.discard(self)
            self._ended.set()

    def __enter__(self) -> DiskJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        core = self._core
        if core is None:
            return f"<DiskJournal {self.location!r} closed>"
        return (
            f"<DiskJournal {self.location!r} durability={self.durability} waiting={core.writer.waiting} owners={len(core.enlisted)}"
            f" commits={core.writer.commits}>"
        )

    # --- the process ----------------------------------------------------------------------------------------------------

    def _live(self) -> _Core:
        """What this process has open; opens it in a child that has not used it yet."""
        core = self._core
        if core is not None and core.pid == os.getpid():
            return core
        with self._lock:
            core = self._core
            if self._closing:
                raise JournalClosed(f"the journal {self.location} was closed; open it again to use it.")
            if core is not None and core.pid != os.getpid():
                self.forget()  # forked past Python's own fork
                core = None
            if core is None:
                core = self._core = self._start()
            return core

    def _start(self) -> _Core:
        prepare(self._place)
        check(self._place.root, allow_network=self._allow_network, durable=self.durability == "power")
        process = ProcessIdentity.current()
        if self._own_identity:
            process = replace(process, token=secrets.token_hex(8))
        writer = Writer(self.location, lambda: Store(self._place, self._options, process.token))
        writer.start()
        return _Core(os.getpid(), process, writer)

    def _stop(self, timeout: float | None) -> None:
        with self._lock:
            core, self._core, self._closing = self._core, None, True
        if core is None or core.pid != os.getpid():
            return
        core.writer.put(Stop())
        if not core.writer.is_current_thread() and not core.writer.join(timeout):
            log.warning(
                "the journal %s did not come to an end within %s s; what was not acknowledged may be lost",
                self.location,
                timeout,
            )

    def running(self) -> Writer | None:
        core = self._core
        return None if core is None else core.writer

    def enlisted(self, owner: Owner) -> bool | None:
        core = self._core
        if core is None or owner.process != core.process:
            return None
        return owner in core.enlisted

    def forget(self) -> None:
        self._lock = threading.Lock()
        if self._core is not None:
            self._inherited.append(self._core)
            self._core = None

    def finish(self, timeout: float) -> None:
        self._stop(timeout)


_open: dict[Place, DiskJournal] = {}


def open_journal(path: str | os.PathLike[str] | None = None) -> DiskJournal:
    """The journal in `path`; None means the directory `TOOLSLOT_HOME` names, or else `.toolslot` in the working directory."""
    return DiskJournal.open(path if path is not None else os.environ.get("TOOLSLOT_HOME") or ".toolslot")


def _options(durability: str, lock_timeout: float, max_result_bytes: int) -> Options:
    if durability not in _SYNCHRONOUS:
        raise InvalidSetting(f'durability={durability!r}: it is "power" or "process".')
    if not 0 <= lock_timeout < 2**31:
        raise InvalidSetting(f"lock_timeout={lock_timeout!r}: give seconds, 0 for not waiting at all.")
    if max_result_bytes < 1:
        raise InvalidSetting(f"max_result_bytes={max_result_bytes!r}: give a number of bytes.")
    return Options(
        synchronous=_SYNCHRONOUS[durability], lock_timeout=lock_timeout, max_bytes=max_result_bytes
    )
