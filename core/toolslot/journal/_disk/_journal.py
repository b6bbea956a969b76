"""The file-based journal."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from typing_extensions import Self

from toolslot._domain._identity import Owner
from toolslot._domain._port import Holdable, Journal
from toolslot._errors import InvalidSetting
from toolslot.journal._disk import _owner_lock
from toolslot.journal._disk._back_end import Directory, Terms
from toolslot.journal._disk._options import Durability, Options
from toolslot.journal._disk._place import Place, resolve
from toolslot.journal._format._encryption import Encryption, key_ids
from toolslot.journal._queue._processes import members
from toolslot.journal._queue._queued import QueuedJournal
from toolslot.journal._queue._session import Session

T = TypeVar("T")


class DiskJournal(QueuedJournal, Holdable):
    """A journal in a directory of this machine, for any number of its processes. Get it from `open`.

    Safe to use from any thread, and in forked children, which open it again, as processes of their own, at the first use. A process has
    one `DiskJournal` for a directory, however often it is opened; it is closed when `close` was called as often. An agent need not
    close it: at the end of the process what is queued is written.

    Do not open, copy or archive the files of an open journal from within its process: closing any descriptor of a file drops the locks
    that the process has on it. Copies of an open journal are made by another process, with `sqlite3 db/cache.db ".backup ..."`.
    """

    def __init__(self, place: Place, terms: Terms) -> None:
        self._directory = Directory(place, terms)
        super().__init__(Session(self._directory))
        #: how often it was opened and not closed
        self._users = 0
        #: threads that have yet to write what they return
        self._holders = 0
        self._closing = False
        self._ended = threading.Event()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "power",
        lock_timeout: float = 30.0,
        max_result_bytes: int = 64 * 2**20,
        allow_network: bool = False,
        read_only: bool = False,
        encryption: Encryption | None = None,
    ) -> DiskJournal:
        """Open the journal in the directory `path`, or begin a new one there.

        Args:
            path: A directory that this user alone can write, on a local file system. It is created when missing.
            durability: With "power" an acknowledged record survives a power cut; with "process" only the death of
                the process, for somewhat less time per commit.
            lock_timeout: Seconds that an operation waits for another process's commit before it fails with
                `JournalBusy`.
            max_result_bytes: Larger arguments and results are refused with `NotStorable`.
            allow_network: Use a network file system, or one that nobody can vouch for, all the same. Its locks must
                hold between all processes that use the journal.
            read_only: Look at an existing journal without taking its locks, while others work on it; write
                permission is not needed. Whatever would write is refused with `JournalReadOnly`.
            encryption: Encrypt arguments, results, errors and other payloads from now on. What was recorded before is read as it is.
                With `read_only` also without it, or with other keys: then payloads stay hidden, and states are shown.

        When the process has it open already, that journal is returned, with the settings it has.

        Raises:
            JournalKeyMissing: it is encrypted, and not with the keys given.
            JournalError: no journal can be opened here; the subclass and the message say why and what to do.
            InvalidSetting: a setting means nothing, or the journal is open with another durability or other keys.
        """
        place = resolve(path)
        options = Options(
            durability=durability,
            lock_timeout=lock_timeout,
            max_bytes=max_result_bytes,
            encryption=encryption,
        )
        terms = Terms(options=options, allow_network=allow_network, read_only=read_only)
        journal = cls._join(place, terms)
        try:
            journal._session.live()
            journal._check_same(options)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def _join(cls, place: Place, terms: Terms) -> DiskJournal:
        """This process's journal for the place, with one more user. Waits for one that is just being closed."""
        while True:
            with members.lock:
                journal = _open.get((place, terms.read_only))
                if journal is None:
                    journal = _open[place, terms.read_only] = cls(place, terms)
                    members.add(journal._session)
                if not journal._closing:
                    journal._users += 1
                    return journal
            journal._ended.wait()

    def _check_same(self, options: Options) -> None:
        if self.durability != options.durability:
            raise InvalidSetting(
                f"the journal {self.location} is open in this process with durability={self.durability!r}, and now"
                f" {options.durability!r} is asked for. Use one setting for all, or close it first."
            )
        here = self._directory.terms.options.encryption
        if key_ids(here) != key_ids(options.encryption):
            raise InvalidSetting(
                f"the journal {self.location} is open in this process {'without keys' if here is None else 'with other keys'} than"
                " encryption= gives now. Use the same for all, or close it first."
            )

    # --- the port -----------------------------------------------------------------------------------------------

    @property
    def location(self) -> str:
        return str(self._directory.place.root)

    @property
    def durability(self) -> Durability:
        """What an acknowledged record survives: "power" a power cut, "process" the death of the process."""
        return self._directory.terms.options.durability

    def enlist(self, owner: Owner) -> None:
        self._session.live()
        _owner_lock.enlist(self._directory.place.owners, owner)

    def retire(self, owner: Owner) -> None:
        _owner_lock.retire(self._directory.place.owners, owner)

    def hold(self) -> Callable[[], None]:
        if self._directory.terms.own_identity:
            return lambda: None  # to the others its closing is the death of a process
        with members.lock:
            self._holders += 1
        return self._let_go

    def _let_go(self) -> None:
        with members.lock:
            self._holders -= 1
            last = self._closing = not self._users and not self._holders
        if last:
            self._end()

    def close(self) -> None:
        """Let go of the journal, once for every `open`: write what is queued and wait for it. The last one ends it.

        An owner that is still at work, because a call's thread outlives its timeout, stays visibly alive until it ends or the process
        does: nobody else settles its calls before. Until then the journal is not ended, and takes what the thread returns.
        """
        with members.lock:
            if self._users == 0:
                return
            self._users -= 1
            last = self._closing = not self._users and not self._holders
        if last:
            self._end()
        else:
            self._session.flush()

    def _end(self) -> None:
        try:
            self._session.end()
        finally:
            with members.lock:
                place = (self._directory.place, self._directory.terms.read_only)
                if _open.get(place) is self:
                    del _open[place]
                members.discard(self._session)
            self._ended.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        core = self._session.present()
        if core is None:
            return (
                f"<DiskJournal {self.location!r} {'closed' if self._closing else 'not open in this process'}>"
            )
        mode = "read_only" if self._directory.terms.read_only else f"durability={self.durability}"
        owners = len(self._directory.at_work(core.process))
        return (
            f"<DiskJournal {self.location!r} {mode} waiting={core.writer.waiting()} owners={owners}"
            f" commits={core.writer.commits}>"
        )


_open: dict[tuple[Place, bool], DiskJournal] = {}


def open_directory(
    path: str | os.PathLike[str], *, read_only: bool, encryption: Encryption | None
) -> Journal:
    """As `DiskJournal.open`, for those who need no more than the port."""
    return DiskJournal.open(path, read_only=read_only, encryption=encryption)
