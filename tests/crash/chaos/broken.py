"""Builds that are broken on purpose: the chaos run must catch every one of them, or it proves nothing.

Each is a small patch, made in the processes of a trial that asks for it by name. None of this is in the product.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from toolslot import BatchRun, DiskJournal, Fenced
from toolslot._batch._engine import Engine
from toolslot._batch._ownership import LiveBatch
from toolslot._batch._steps import Pause, Steps
from toolslot._domain import _append, _operations
from toolslot._domain._claim import Claim
from toolslot._domain._effects import Effect
from toolslot._domain._operations import existing
from toolslot._domain._plan import Standing
from toolslot._domain._slot import BatchKey, Finished, Noted
from toolslot._domain._state import PutEffect
from toolslot.journal import Append, Change
from toolslot.journal._queue._committer import Committer
from toolslot.journal._queue._items import answer, refuse


def acks_before_commit() -> None:
    """Answers as soon as a write is applied in memory, and commits a little later."""

    decide = Committer._decide

    def hasty(self: Any, items: list[Any], decided: list[Any], group: Any) -> None:
        decide(self, items, decided, group)
        for item, result, refusal in decided:
            if isinstance(item.operation, Append):
                answer(item.future, result) if refusal is None else refuse(item.future, refusal)
        if any(isinstance(getattr(item.operation, "row", None), Finished) for item in items):
            time.sleep(0.1)

    Committer._decide = hasty  # type: ignore[method-assign]


def forgets_start_marks() -> None:
    """Enters every tool's code without a start mark, as if it were idempotent."""
    spec = Engine.spec
    Engine.spec = lambda *args: replace(spec(*args), idempotent=True)  # type: ignore[method-assign]


def ignores_the_epoch() -> None:
    """Takes every write for one of the current owner."""
    change = Append.change
    _append.check_epoch = _operations.check_epoch = lambda *args: None

    def believing(self: Append, view: Any) -> Any:
        state = existing(view, self.key)
        return change(replace(self, row=replace(self.row, epoch=state.fence.epoch)), view)

    Append.change = believing  # type: ignore[method-assign]


def records_by_completion() -> None:
    """The first result that comes is the first call's."""
    submit, order = DiskJournal.submit, itertools.count()

    def shuffling(self: DiskJournal, operation: Any) -> Any:
        if isinstance(operation, Append) and isinstance(operation.row, Finished):
            operation = replace(operation, row=replace(operation.row, index=next(order)))
        return submit(self, operation)

    DiskJournal.submit = shuffling  # type: ignore[method-assign]


def keys_by_call_id() -> None:
    """A call is the first one of its id, wherever it stands."""
    entry = BatchRun._entry

    def by_id(self: Any, index: int, *args: Any) -> Any:
        ids = [call.call_id for call in self._batch.calls]
        return entry(self, ids.index(ids[index]), *args)

    BatchRun._entry = by_id  # type: ignore[method-assign]


def swallows_refusals() -> None:
    """Takes an UPDATE that changed no row for one that did: a refused write is acknowledged."""
    change = Append.change

    def pleased(self: Append, view: Any) -> Any:
        try:
            made = change(self, view)
        except Fenced:
            return Change(
                (), replace(existing(view, self.key).slot(self.row.index), attempt=self.row.attempt)
            )
        return replace(made, refusal=None)

    Append.change = pleased  # type: ignore[method-assign]


def evicts() -> None:
    """Drops the oldest rows at every write, as a cache does when it is full."""
    commit = Committer.commit

    def culling(self: Any, items: list[Any], **settings: Any) -> Any:
        rest = commit(self, items, **settings)
        with self._store.locked():
            self._store.connection.execute(
                "DELETE FROM Cache WHERE key LIKE 'b/%' AND rowid NOT IN"
                " (SELECT rowid FROM Cache ORDER BY rowid DESC LIMIT 4)"
            )
        return rest

    Committer.commit = culling  # type: ignore[method-assign]


def forgets_notes() -> None:
    """Acknowledges notes that it does not write."""
    change = Append.change

    def forgetful(self: Append, view: Any) -> Any:
        made = change(self, view)
        return replace(made, writes=()) if isinstance(self.row, Noted) else made

    Append.change = forgetful  # type: ignore[method-assign]


def claims_too_late() -> None:
    """Writes a start mark alone, and claims its effect with the result."""
    change, finish = Claim.change, Append.change
    claims: dict[tuple[BatchKey, int], PutEffect] = {}

    def starting(self: Claim, view: Any) -> Any:
        made = change(self, view)
        for write in made.writes:
            if isinstance(write, PutEffect):
                claims[self.key, self.index] = write
        return replace(made, writes=tuple(each for each in made.writes if not isinstance(each, PutEffect)))

    def finishing(self: Append, view: Any) -> Any:
        claim = claims.get((self.key, self.row.index)) if isinstance(self.row, Finished) else None
        if claim is None:
            return finish(self, view)
        made = finish(self, _Claimed(view, claim.effect))
        return replace(made, writes=(claim, *made.writes))

    Claim.change = starting  # type: ignore[method-assign]
    Append.change = finishing  # type: ignore[method-assign]


class _Claimed:
    """A view in which an effect is claimed that is not."""

    def __init__(self, view: Any, effect: Effect) -> None:
        self._view, self._effect = view, effect

    def effect(self, digest: str) -> Effect | None:
        return self._effect if digest == self._effect.digest else self._view.effect(digest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


def takes_from_the_living() -> None:
    """Takes a batch that an entrant has once seen free from whoever has it when the entrant comes to take it."""
    came = itertools.count()

    def late(self: LiveBatch, *, force: bool = False, why: str = "to go on with it") -> Steps[None]:
        yield Pause(next(came) * 0.01)  # one after the other: the first one learns who was quicker
        if self.standing() is not Standing.MINE:
            yield from self._take_over(self.taking(self.epoch, why, force=force))

    LiveBatch.claiming = late  # type: ignore[method-assign]


CONTROLS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        acks_before_commit,
        forgets_start_marks,
        ignores_the_epoch,
        records_by_completion,
        keys_by_call_id,
        swallows_refusals,
        evicts,
        forgets_notes,
        claims_too_late,
        takes_from_the_living,
    )
}


def break_build(name: str) -> None:
    CONTROLS[name]()
