"""Reserving the slots of a batch, or finding them where an earlier batch of the same model response has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from toolslot._batch._engine import log
from toolslot._batch._steps import Consult, Steps
from toolslot._domain._operations import Adopt, Reservation, Reserve
from toolslot._domain._port import Journal
from toolslot._domain._slot import BatchKey
from toolslot._errors import RecordMissing
from toolslot._text import quoted

#: whether the host has kept the answers of a batch that were handed to it
Kept: TypeAlias = Callable[[BatchKey], "bool | Awaitable[bool]"]


def reserving(
    journal: Journal, operation: Reserve, kept: Kept | None, submit: Callable[[Reserve], Future[Reservation]]
) -> Steps[Reservation]:
    """Submit the reservation. `kept` is asked when an earlier batch was closed: what the host has lost in a crash is handed to it again."""
    reservation: Reservation = yield submit(replace(operation, ask=kept is not None))
    if reservation.undecided and kept is not None:
        # Dies here: nothing was reserved, and it is asked again.
        if not (yield Consult(partial(kept, reservation.key))):
            operation = replace(operation, adopt=Adopt.ALWAYS)
        reservation = yield submit(operation)
    if reservation.missing:
        _tell_missing(journal, operation)
    return reservation


def _tell_missing(journal: Journal, operation: Reserve) -> None:
    """Raises `RecordMissing` if that is what the host wants, else warns."""
    run_id = operation.manifest.key.run_id
    what = (
        f"the saved conversation of run {quoted(run_id)} has answers to tool calls; the journal {journal.location} has no record of them:"
        " it is not the journal that was written then (another working directory or TOOLSLOT_HOME, a disk that was wiped), or the run was"
        " named otherwise, or ran without toolslot. What was in flight then is not known here, and may be done already."
    )
    if operation.refuse_missing:
        raise RecordMissing(
            f"{what} Nothing was run. Open the journal that belongs to it, or let on_missing='run' run the calls."
        )
    log.warning(
        "toolslot.record_missing %s The calls of this response run now; on_missing='fail' refuses.", what
    )
