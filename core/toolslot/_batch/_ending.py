"""What an attempt came to: the row that says so, and what its caller gets once that is durable."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from toolslot._batch._open_batch import OpenBatch
from toolslot._batch._steps import Steps
from toolslot._domain._slot import Row, SlotRecord
from toolslot._errors import ToolslotError


def _nothing() -> None:
    pass


@dataclass(slots=True, eq=False)
class Ending:
    """What is to be recorded, and told then.

    `row` is None where nothing is recorded. `over` is called once it is durable, and returns the answer or raises. `refused` is called when
    the journal did not take the row; it raises, or gives what is to be recorded instead. `under_way` is called as soon as the journal
    has the row: what it causes to be submitted is not durable before that one.
    """

    row: Row | None
    over: Callable[[], object]
    refused: Callable[[ToolslotError], Ending]
    under_way: Callable[[], None] = _nothing


@dataclass(slots=True, eq=False)
class Held:
    """An answer that was given to a caller who holds it back until it is recorded."""

    index: int
    ending: Ending
    submitted: Future[SlotRecord]

    def recording(self, live: OpenBatch) -> Steps[None]:
        """Wait until it is durable. Raises what the call's outcome is where the journal does not take it."""
        ending, submitted = self.ending, self.submitted
        while ending.row is not None:
            try:
                live.saw(submitted.result() if submitted.done() else (yield submitted))
                break
            except ToolslotError as error:
                ending = ending.refused(error)
                if ending.row is not None:
                    submitted = live.write(ending.row)
        ending.over()
