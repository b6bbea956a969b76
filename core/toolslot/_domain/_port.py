"""The port every journal back end implements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from toolslot._domain._effects import EffectPage, KnownEffect
from toolslot._domain._identity import Owner, ProcessIdentity
from toolslot._domain._operations import Operation
from toolslot._domain._slot import BatchHistory, BatchKey, BatchRecord
from toolslot._errors import JournalError

T = TypeVar("T")

#: batches that are read at once: more would hold up the writers
_AT_ONCE = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class OldRuns:
    """Some runs, and where to go on: `cursor` is None when there are no more."""

    run_ids: tuple[str, ...]
    cursor: str | None


class Journal(Protocol):
    """Keeps batches through crashes. All methods may be called from any thread; none of them blocks for long except `close`.

    The futures complete after the commit, never before: what a future has answered survives the death of the process (and, with
    durability "power", of the machine). Cancelling a future does not withdraw the write. Work is taken in the order it was submitted, so
    a start mark never commits after its result. Errors are `ToolslotError`s; a failing operation fails alone.

    A back end proves itself with `toolslot.testing.JournalContract`.
    """

    @property
    def location(self) -> str:
        """Where it is, for messages: a path, or "memory"; an address without its password."""
        ...

    @property
    def process(self) -> ProcessIdentity:
        """The identity under which this process works on the journal."""
        ...

    @property
    def digest_key(self) -> bytes | None:
        """What digests of arguments are keyed with, the same for as long as the journal exists; None where it hides no payloads."""
        ...

    def submit(self, operation: Operation[T]) -> Future[T]:
        """Queue a verb. The future answers after the commit with its result, or raises what refused it."""
        ...

    def load(self, key: BatchKey) -> Future[BatchRecord | None]:
        """The batch's record from one snapshot, aliases followed; None when it was never reserved."""
        ...

    def history(self, key: BatchKey) -> Future[BatchHistory | None]:
        """As `load`, with every row: for views, which show attempts that came to nothing too."""
        ...

    def histories(self, keys: Sequence[BatchKey]) -> Future[tuple[BatchHistory | JournalError | None, ...]]:
        """As `history` for each of them, from one snapshot and with few questions to the storage, however many they are. What keeps one
        from being read comes in its place. See `read_batches`.
        """
        ...

    def keys(self, run_id: str | None = None) -> Future[tuple[BatchKey, ...]]:
        """The batches of a run, or of all runs, oldest first; aliases are not listed."""
        ...

    def old_runs(self, before: float, cursor: str | None = None) -> Future[OldRuns]:
        """Some of the runs whose latest batch was reserved before `before` (wall-clock seconds), each run once, purged ones never.

        A call looks at a bounded number of runs and may find none, so that a long journal is walked through without holding anybody up.
        `cursor` is the one of the call before, None at the beginning; only this journal can read it.
        """
        ...

    def run_payload(self, run_id: str) -> Future[bytes | None]:
        """What the run's first reservation carried as `run_payload`."""
        ...

    def effects(self, cursor: str | None = None) -> Future[EffectPage]:
        """Some of the effects that calls with an effect key have claimed, in the order of their digests. `cursor` as in `old_runs`."""
        ...

    def enlist(self, owner: Owner) -> None:
        """Tell that `owner`, of this process, is at work from now on; the back end keeps it visibly alive until `retire`."""
        ...

    def retire(self, owner: Owner) -> None:
        """Tell that `owner` of this process has let go, or was abandoned."""
        ...

    def close(self) -> None:
        """Write what is queued and let go of every resource. Idempotent. Later calls raise `JournalClosed`."""
        ...


@runtime_checkable
class Holdable(Protocol):
    """A journal that may be closed by those who opened it while a call's thread has yet to write what it returns."""

    def hold(self) -> Callable[[], None]:
        """Stay open until the returned function is called, once."""
        ...


def read_batches(
    journal: Journal, keys: Sequence[BatchKey]
) -> Iterator[tuple[BatchKey, BatchHistory | JournalError | None]]:
    """Batches with their rows, some dozens at once; each piece is from one snapshot. Waits for the journal.

    None: there is no such batch any more. An error: it cannot be read.
    """
    for begin in range(0, len(keys), _AT_ONCE):
        piece = keys[begin : begin + _AT_ONCE]
        yield from zip(piece, journal.histories(piece).result(), strict=True)


def records_of(journal: Journal, run_id: str) -> Iterator[BatchRecord]:
    """The batches of a run, oldest first.

    Raises:
        JournalError: one of them cannot be read.
    """
    for _, found in read_batches(journal, journal.keys(run_id).result()):
        if isinstance(found, JournalError):
            raise found
        if found is not None:  # another process may have purged it meanwhile
            yield found.record


def effects_of(journal: Journal) -> Iterator[KnownEffect]:
    """All effects of the journal, read piece by piece. Waits for the journal.

    Raises:
        JournalError: some cannot be read.
    """
    cursor: str | None = None
    while True:
        page = journal.effects(cursor).result()
        yield from page.effects
        cursor = page.cursor
        if cursor is None:
            return
