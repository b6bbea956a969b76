"""What the queue needs of a back end's storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, TypeVar

from toolslot._domain._state import JournalView, Write
from toolslot.journal._format._secrecy import Memo

V_co = TypeVar("V_co", covariant=True)

#: names and bytes of parts of large values
Chunks: TypeAlias = tuple[tuple[str, bytes], ...]


class Group(JournalView, Protocol):
    """What the operations of one transaction read and write. They are written when the transaction ends."""

    @property
    def size(self) -> int:
        """Bytes to write so far, roughly."""
        ...

    def prepare(self, writes: tuple[Write, ...], hidden: Memo) -> tuple[Chunks, Callable[[], None]]:
        """Encode; changes nothing yet. `hidden` is what the operation had encrypted when it was tried before.

        Returns the chunks that must be in the store before the writes, and what lets the operations after this one see the writes.
        """
        ...


class Store(Protocol[V_co]):
    """Made and used by the writer's thread only. What it raises is a `JournalError`, whatever it is made of; it maps foreign errors itself.

    `JournalFull` tells that nothing was written and that there may be room later, `JournalIOError` that a new connection may help,
    `JournalCorrupt` that it may be the fault of one operation of the group.
    """

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

    def snapshot(self) -> AbstractContextManager[V_co]:
        """One state of the journal, to be read."""
        ...

    def transaction(self) -> AbstractContextManager[Group]:
        """Commit what the block applies. On any failure nothing is written."""
        ...

    def add_chunks(self, chunks: Chunks) -> None:
        """Write parts of a large value, in a commit of their own."""
        ...

    def reconnect(self) -> None:
        """Begin again after an I/O error: what the store really holds is only known then."""
        ...

    @property
    def checkpoint_due(self) -> bool:
        """Whether upkeep is to come before other work."""
        ...

    @property
    def checkpoint_wanted(self) -> bool:
        """Whether there is upkeep to be done when nothing else is."""
        ...

    @property
    def log_is_long(self) -> bool:
        """Whether that is to give space back."""
        ...

    def checkpoint(self, *, truncate: bool = False, timeout: float | None = None) -> None:
        """Do the upkeep; with `truncate` give space back."""
        ...

    def deletions(self) -> list[str]:
        """The purged runs whose rows this process must delete."""
        ...

    def delete_piece(self, run_ids: Iterable[str]) -> list[str]:
        """Delete some rows of these runs, in this order; those of which nothing is left."""
        ...

    def vacuum_piece(self) -> bool:
        """Give some space back; whether that was the last of it."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
