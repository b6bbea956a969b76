"""Forgetting old runs. By age and by name, never by size, and never what is unfinished or worked on."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolslot._crashpoints import CrashPoint, reach
from toolslot._errors import BatchBusy, InvalidSetting
from toolslot._slot import BatchKey, BatchRecord
from toolslot._text import quoted
from toolslot.journal._operations import Purge
from toolslot.journal._port import Journal, OwnerState


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

    A forgotten run leaves a tombstone: reserving a batch of it raises `RunPurged`, so it is never taken for a new one.

    Raises:
        InvalidSetting: `age` is not positive.
        JournalError: the journal failed; what was purged so far stays purged.
    """
    if not age > 0:
        raise InvalidSetting(f"age={age!r}: it must be a positive number of seconds.")
    now = clock()
    purged: list[str] = []
    kept: list[tuple[str, str]] = []
    for run_id, records in _by_run(journal).items():
        if any(record.manifest.created > now - age for record in records):
            continue
        reason = _reason_to_keep(journal, records)
        if reason:
            kept.append((run_id, reason))
            continue
        if not dry_run:
            _purge(journal, Purge(run_id=run_id, at=now, why=why))
        purged.append(run_id)
    return Retention(purged=tuple(purged), kept=tuple(kept))


def purge_run(journal: Journal, run_id: str, *, why: str, clock: Callable[[], float] = time.time) -> None:
    """Forget one run, finished or not.

    Raises:
        BatchBusy: an owner that is or may be alive works on it.
        JournalError: the journal failed.
    """
    records = [
        record for key in journal.keys(run_id).result() if (record := journal.load(key).result()) is not None
    ]
    for record in records:
        if _worked_on(journal, record):
            raise BatchBusy(
                f"batch {record.key} is worked on by {record.fence.owner}, which is or may be alive, so run {quoted(run_id)} is not"
                " forgotten. End that process, or take the batch over by force first."
            )
    _purge(journal, Purge(run_id=run_id, at=clock(), why=why))


def _purge(journal: Journal, operation: Purge) -> None:
    reach(CrashPoint.BEFORE_PURGE)
    journal.submit(operation).result()
    reach(CrashPoint.AFTER_PURGE)


def _by_run(journal: Journal) -> dict[str, list[BatchRecord]]:
    runs: defaultdict[str, list[BatchRecord]] = defaultdict(list)
    keys: Sequence[BatchKey] = journal.keys().result()
    for key in keys:
        record = journal.load(key).result()
        if record is not None:  # another process may have purged it meanwhile
            runs[key.run_id].append(record)
    return dict(runs)


def _reason_to_keep(journal: Journal, records: Sequence[BatchRecord]) -> str:
    for record in records:
        if _worked_on(journal, record):
            return f"batch {record.key} is worked on"
        if not (record.settled or record.fence.closed):
            return f"batch {record.key} is unfinished"
    return ""


def _worked_on(journal: Journal, record: BatchRecord) -> bool:
    return record.fence.held and journal.owner_state(record.fence.owner) is not OwnerState.DEAD
