"""What is said, and when, of something that the conversation depends on and that cannot be made again."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from toolslot import ResultNotStorable
from toolslot.hosting import quoted
from toolslot_llamaindex._exact import NotRestorable
from toolslot_llamaindex._records import TurnRecord
from toolslot_llamaindex._values import ValueCodec

log = logging.getLogger("toolslot")


@contextmanager
def restoring(run_id: str, what: str) -> Generator[None]:
    """While something that the conversation depends on is made again; `ResultNotStorable` where that cannot be."""
    try:
        yield
    except NotRestorable as problem:
        raise ResultNotStorable(
            f"{what} of run {quoted(run_id)} cannot be replayed: {problem} The conversation would not be the same without it, so nothing"
            " was run. Then run again with the same run_id: what is recorded is still there."
        ) from None


def restored_turn(run_id: str, number: int, payload: bytes, values: ValueCodec) -> TurnRecord:
    """What was recorded of the turn, if all of it can be made again.

    Raises:
        ResultNotStorable: it cannot.
    """
    with restoring(run_id, f"turn {number}"):
        return TurnRecord.decode(payload, values)


def foretell(run_id: str, problem: NotRestorable) -> None:
    """Say of what could not be made again what to do about it, while that is easy."""
    log.warning(
        "toolslot.answer_not_restorable run=%s: the model's answer holds something of which a resume could not make the same again: %s This"
        " run goes on; a resume of it stops with ResultNotStorable until then.",
        quoted(run_id),
        problem,
    )
