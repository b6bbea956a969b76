"""What is asked when a call is entered: which slot of which batch, the code, and how its answer is to be read."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

from toolslot._batch._ending import Held
from toolslot._batch._engine import Engine
from toolslot._batch._ownership import LiveBatch
from toolslot._domain._policy import ToolPolicy
from toolslot._domain._slot import SlotPlace, SlotRecord, SlotSpec

T = TypeVar("T")


@dataclass(kw_only=True, slots=True, eq=False)
class CallRequest(Generic[T]):
    """One call as it is entered once: the tool's code, and how its answer is to be read.

    `engine` is that of the user who enters it, and may know other tools than the opener's. `policy` is the tool's, for this
    time. `deadline` is the batch's, in monotonic seconds. `is_error`: whether a returned value is a failure that the framework has turned
    into an answer, or the error that it was made of. `offload`: where to run the code. `held`: where an answer is noted that the caller
    holds back until it is recorded; None has the call wait for its record.
    """

    live: LiveBatch
    engine: Engine
    spec: SlotSpec
    policy: ToolPolicy
    fn: Callable[[], object]
    deadline: float | None = None
    is_error: Callable[[T], bool | BaseException] | None = None
    offload: Executor | None = None
    held: list[Held] | None = None
    #: since when it is at work (monotonic seconds), and the holder of its effect that the policy has run again, in that version
    since: float = 0.0
    anyway: tuple[SlotPlace, int] | None = None
    #: it got an answer without being entered, which was told
    spared: bool = False

    @property
    def index(self) -> int:
        return self.spec.index

    @property
    def slot(self) -> SlotRecord:
        return self.live.slots[self.spec.index]
