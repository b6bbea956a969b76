"""Reserving the slots of a batch, or finding them where an earlier batch of the same model response has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from toolslot._slot import BatchKey
from toolslot._steps import Await, Consult, Steps
from toolslot.journal import Adopt, Journal, Reservation, Reserve

#: whether the host has kept the answers of a batch that were handed to it
Kept: TypeAlias = Callable[[BatchKey], "bool | Awaitable[bool]"]


def reserving(journal: Journal, operation: Reserve, kept: Kept | None) -> Steps[Reservation]:
    """Submit the reservation. `kept` is asked when an earlier batch was closed: what the host has lost in a crash is handed to it again."""
    reservation: Reservation = yield Await(journal.submit(replace(operation, ask=kept is not None)))
    if reservation.undecided and kept is not None:
        # Dies here: nothing was reserved, and it is asked again.
        if not (yield Consult(kept, reservation.key)):
            operation = replace(operation, adopt=Adopt.ALWAYS)
        reservation = yield Await(journal.submit(operation))
    return reservation
