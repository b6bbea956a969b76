"""What a process of a trial notes in the ledger of its writes to the journal: start marks, claims of effects, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from crash.chaos.facts import SHARED, Verb
from toolslot import BatchKey, DiskJournal, Fenced
from toolslot._domain._claim import Claim
from toolslot._domain._identity import idempotency_key
from toolslot._domain._slot import Finished, Started
from toolslot._domain._state import AppendRow
from toolslot.journal import Append


def note_marks(note: Callable[..., None]) -> None:
    """Have every start mark noted before it is durable: a call without one can never be asked about. And every refusal.

    The key of an effect is known where it is claimed, within the transaction.
    """
    submit, claim = DiskJournal.submit, Claim.change
    shared = set[tuple[BatchKey, int]]()

    def refused(key: BatchKey, row: Started | Finished, future: Future[Any]) -> None:
        if not future.cancelled() and isinstance(future.exception(), Fenced):
            index = row.index + SHARED * ((key, row.index) in shared)
            note(Verb.FENCED, index=index, attempt=row.attempt)

    def noting(self: DiskJournal, operation: Any) -> Any:
        row = _marked(operation)
        if isinstance(operation, Claim):
            shared.add((operation.key, operation.index))
        elif isinstance(row, Started):
            key = idempotency_key(*operation.key, row.index, row.generation)
            note(Verb.MARK, index=row.index, attempt=row.attempt, key=key)
        future = submit(self, operation)
        if row is not None:
            future.add_done_callback(partial(refused, operation.key, row))
        return future

    def claiming(self: Claim, view: Any) -> Any:
        made = claim(self, view)
        for write in made.writes:
            row = write.row if isinstance(write, AppendRow) else None
            if isinstance(row, Started) and row.effect is not None:
                key = row.effect.idempotency_key
                note(Verb.MARK, index=row.index + SHARED, attempt=row.attempt, key=key)
        return made

    DiskJournal.submit, Claim.change = noting, claiming  # type: ignore[method-assign]


def _marked(operation: Any) -> Started | Finished | None:
    """The start mark or outcome that it is to write."""
    if isinstance(operation, Claim):
        return operation.mark
    row = operation.row if isinstance(operation, Append) else None
    return row if isinstance(row, (Started, Finished)) else None
