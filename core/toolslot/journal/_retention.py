"""Forgetting old runs. By age and by name, never by size, and never what is unfinished or worked on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._effects import EffectState
from toolslot._domain._operations import Purge
from toolslot._domain._port import Journal, effects_of, records_of
from toolslot._domain._slot import BatchRecord, SlotPlace
from toolslot._errors import BatchBusy, EffectUnsettled, InvalidSetting, JournalCorrupt, JournalKeyMissing
from toolslot._text import quoted

#: purges under way at once: the rows of several runs are deleted together
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What a purge by age found: `purged` runs, and the `kept` ones that are old enough with the reason why they stay."""

    purged: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]


def purge_older(
    journal: Journal,
    age: float,
    *,
    why: str = "older than asked",
    dry_run: bool = False,
    clock: Callable[[], float] = time.time,
) -> Retention:
    """Forget the runs whose batches were all reserved more than `age` seconds ago and are all finished.

    Each forgotten batch leaves a tombstone: reserving it raises `RunPurged`, so it is never taken for a new one. Later batches of the run
    are taken. Of effects it is kept that they were had. A run stays, with the reason, if it has a batch that is damaged, or encrypted with
    a key that was not given, or a call with an effect key of which nobody knows whether it was done. A large journal is walked through
    piece by piece, and others go on writing meanwhile.

    Raises:
        InvalidSetting: `age` is not positive.
        JournalError: the journal failed; what was purged so far stays purged.
    """
    if not age > 0:
        raise InvalidSetting(f"age={age!r}: it must be a positive number of seconds.")
    now = clock()
    purged: list[str] = []
    kept: list[tuple[str, str]] = []
    purging: deque[tuple[str, Future[None]]] = deque()
    # A purge itself learns it in its transaction.
    unsettled = _unsettled(journal) if dry_run else {}

    def end(run_id: str, purge: Future[None]) -> None:
        try:
            _purged(purge)
        except EffectUnsettled as unsettled:
            kept.append((run_id, str(unsettled)))
        else:
            purged.append(run_id)

    for run_id in _old_runs(journal, now - age):
        reason = _reason_to_keep(journal, run_id, now - age)
        if reason is not None:
            if reason:
                kept.append((run_id, reason))
            continue
        if dry_run:
            if run_id in unsettled:
                kept.append(
                    (run_id, f"{unsettled[run_id]} has an effect key, and nobody knows whether it was done")
                )
            else:
                purged.append(run_id)
            continue
        purging.append((run_id, _purging(journal, Purge(run_id=run_id, at=now, why=why))))
        if len(purging) >= _AT_ONCE:
            end(*purging.popleft())
    for each in purging:
        end(*each)
    return Retention(purged=tuple(purged), kept=tuple(kept))


def purge_run(journal: Journal, run_id: str, *, why: str, clock: Callable[[], float] = time.time) -> None:
    """Forget what one run has by now, finished or not. Its later batches are taken as ever.

    Raises:
        BatchBusy: an owner that is or may be alive works on it.
        EffectUnsettled: nobody knows whether a call with an effect key was done.
        JournalError: the journal failed.
    """
    for record in records_of(journal, run_id):
        if record.held:
            raise BatchBusy(
                f"batch {record.key} is worked on by {record.fence.owner}, which is or may be alive, so run {quoted(run_id)} is not"
                " forgotten. End that process, or take the batch over by force first."
            )
    _purged(_purging(journal, Purge(run_id=run_id, at=clock(), why=why)))


def _old_runs(journal: Journal, before: float) -> Iterator[str]:
    """The runs that may be old enough, read piece by piece: neither we nor the journal ever hold all of them."""
    cursor: str | None = None
    while True:
        found = journal.old_runs(before, cursor).result()
        yield from found.run_ids
        cursor = found.cursor
        if cursor is None:
            return


def _one_by_one(journal: Journal, run_id: str) -> Iterator[BatchRecord]:
    """Never more than one in memory: old runs may be many and large."""
    for key in journal.keys(run_id).result():
        record = journal.load(key).result()
        if record is not None:  # another process may have purged it meanwhile
            yield record


def _reason_to_keep(journal: Journal, run_id: str, before: float) -> str | None:
    """Why the run stays: None when it may go, and "" when it is simply not old enough."""
    reason: str | None = None
    try:
        for record in _one_by_one(journal, run_id):
            if record.manifest.created > before:
                return ""
            if record.held:
                reason = reason or f"batch {record.key} is worked on"
            elif not (record.settled or record.fence.closed):
                reason = reason or f"batch {record.key} is unfinished"
    except (JournalCorrupt, JournalKeyMissing) as error:
        return str(error)
    return reason


def _unsettled(journal: Journal) -> dict[str, SlotPlace]:
    """The runs of which nobody knows yet whether an effect was had, each with a call that holds such a one."""
    found: dict[str, SlotPlace] = {}
    for known in effects_of(journal):
        holder = known.effect.holder
        if holder is not None and known.state in (EffectState.RUNNING, EffectState.UNKNOWN):
            found[holder.place.batch.run_id] = holder.place
    return found


def _purging(journal: Journal, operation: Purge) -> Future[None]:
    reach(CrashPoint.BEFORE_PURGE)
    return journal.submit(operation)


def _purged(purge: Future[None]) -> None:
    purge.result()
    reach(CrashPoint.AFTER_PURGE)
