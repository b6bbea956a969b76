"""What the queue needs of a back end's storage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from toolslot._domain._effects import EffectPage
from toolslot._domain._port import OldRuns
from toolslot._domain._slot import BatchKey
from toolslot._domain._state import JournalView, Write
from toolslot.journal._format._secrecy import Memo

#: names and bytes of parts of large values
Chunks: TypeAlias = tuple[tuple[str, bytes], ...]


class View(JournalView, Protocol):
    """One state of the journal, of which questions are asked. Its other methods are those of the journal's port."""

    def fetch(self, wanted: Sequence[BatchKey]) -> None:
        """They are about to be asked for: read them with few questions to the storage."""
        ...

    def keys(self, run_id: str | None) -> tuple[BatchKey, ...]: ...

    def old_runs(self, before: float, cursor: str | None) -> OldRuns: ...

    def run_payload(self, run_id: str) -> bytes | None: ...

    def effects(self, cursor: str | None) -> EffectPage: ...


class Group(JournalView, Protocol):
    """What the operations of one transaction read, and where they write."""

    @property
    def size(self) -> int:
        """Bytes to write so far, roughly."""
        ...

    def write(self, writes: tuple[Write, ...], memo: Memo, stored: Collection[str]) -> Chunks:
        """Take the writes of one operation: those after it see them. Returns the parts of large values that must be in the store before;
        unless all their names are among `stored`, nothing was taken.

        `memo` is what the operation had encrypted when it was tried before.

        Raises:
            NotStorable: a value is larger than the journal takes; nothing was taken.
        """
        ...


class Store(Protocol):
    """Made and used by the writer's thread only. What it raises is a `JournalError`, whatever it is made of; it maps foreign errors itself.

    `JournalFull` tells that nothing was written and that there may be room later, `JournalIOError` that a new connection may help,
    `JournalCorrupt` that it may be the fault of one operation of the group.
    """

    #: upkeep must come before other work
    upkeep_due: bool
    #: there is upkeep to be done when nothing else is
    upkeep_wanted: bool

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def faults(self) -> tuple[type[BaseException], ...]:
        """What an operation meets inside a transaction when the store cannot be read. Let through, so that the transaction maps it:
        it is no answer to the operation.
        """
        ...

    @property
    def group_bytes(self) -> int:
        """Bytes that one commit may write before the next operation waits for the next commit."""
        ...

    @property
    def digest_key(self) -> bytes | None:
        """As the journal's."""
        ...

    def snapshot(self) -> AbstractContextManager[View]:
        """One state of the journal, to be read."""
        ...

    def commit(self, work: Callable[[Group], None]) -> None:
        """Run `work` in a transaction and commit what it wrote. On any failure, of `work` too, nothing is written."""
        ...

    def add_chunks(self, chunks: Chunks) -> None:
        """Write parts of a large value, in a commit of their own."""
        ...

    def reconnect(self) -> None:
        """Begin again after an I/O error: what the store really holds is only known then."""
        ...

    def upkeep(self, *, idle: bool) -> None:
        """Put things in order after many commits; `idle`: nobody waits for a commit, and it must wait for nobody."""
        ...

    def give_back(self) -> None:
        """Give back the space that can be given back at once: there is no room, or much was deleted."""
        ...

    def deletions(self) -> list[str]:
        """The purged runs whose rows this process must delete."""
        ...

    def delete_piece(self, run_ids: Iterable[str]) -> list[str]:
        """Delete some rows of these runs, in this order; those of which nothing is left."""
        ...

    def give_back_piece(self) -> bool:
        """Give back some of the space of deleted rows; whether that was the last of it."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
