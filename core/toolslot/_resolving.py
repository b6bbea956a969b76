"""The decision of an operator about a call of unknown outcome, from outside its run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from toolslot._batch._unknown import spelled
from toolslot._codec import Codec, JsonCodec, encode
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._policy import Done, Failed, NotDone
from toolslot._domain._slot import BatchKey, SlotRecord
from toolslot.journal import Decide, Journal


def resolve(
    journal: Journal,
    key: BatchKey,
    index: int,
    answer: Done | Failed | NotDone,
    *,
    by: str,
    why: str,
    version: int,
    decision_id: str | None = None,
    codec: Codec | None = None,
    clock: Callable[[], float] = time.time,
) -> SlotRecord:
    """Settle call `index` of the batch, or have it run again when the run goes on. The slot as it is then.

    Whoever owns the batch keeps it, and finds the decision when it looks. `version` is the slot's when it was looked at. `codec` writes
    the value of a `Done`; it must be one that the run's tools read. Default: tagged JSON.

    Dies here, before the answer: the decision may be recorded. Repeat it with the same `decision_id` (and clock), or look again.

    Raises:
        DecisionRefused: the slot is not UNKNOWN, or something was recorded since `version`.
        BatchClosed: nothing of the batch can run again.
        JournalError: the journal failed.
    """
    codec = codec if codec is not None else JsonCodec()
    verdict, outcome, error = spelled(answer, lambda value: encode(value, codec))
    operation = Decide(
        key=key,
        index=index,
        verdict=verdict,
        by=by,
        why=why,
        decision_id=decision_id if decision_id is not None else secrets.token_hex(8),
        version=version,
        at=clock(),
        outcome=outcome,
        error=error,
    )
    reach(CrashPoint.BEFORE_RESOLVE)
    slot = journal.submit(operation).result()
    reach(CrashPoint.AFTER_RESOLVE)
    return slot
