"""What is to be drawn of a run, in places between 0 and 1 along its time axis: plain records, no markup."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from toolslot._domain._slot import SlotState
from toolslot._views import BatchView, CallView, RunView
from toolslot._views.timeline._scale import Scale


class BarKind(str, Enum):
    """What a bar stands for."""

    #: it waited for a permit
    QUEUED = "queued"
    #: its code was at work
    RAN = "ran"
    #: an owner held the batch
    HELD = "held"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A span of time. `state` is how the attempt ended; `open_end`: it goes on."""

    kind: BarKind
    left: float
    right: float
    state: SlotState
    text: str
    open_end: bool = False


class MarkKind(str, Enum):
    """What a mark on a call's row stands for."""

    #: its recorded result was there for a later owner
    REPLAYED = "replayed"
    #: a reconciler or an operator settled it
    DECIDED = "decided"
    #: it got the result of another call, which has had its effect
    DEDUPLICATED = "deduplicated"
    #: nothing ran, for what is known of its effect
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A moment in the life of a call."""

    kind: MarkKind
    at: float
    text: str


class BoundaryKind(str, Enum):
    """How an owner's time ended."""

    DIED = "died"
    LET_GO = "let go"
    FORCED = "taken by force"


@dataclass(frozen=True, kw_only=True, slots=True)
class Boundary:
    """Where an owner's time ended: at `at` it was last seen, at `until` the next one came, or it is not known."""

    kind: BoundaryKind
    at: float
    until: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One call."""

    call: CallView
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitSpan:
    """How many calls an owner lets run at once, while it held the batch."""

    left: float
    right: float
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """Calls at work at once: from each place of `steps` on, so many."""

    steps: tuple[tuple[float, int], ...]
    limits: tuple[LimitSpan, ...]
    peak: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """One batch. `owners` has a bar for each owner, in order. `stretch`: how much longer than others some of it is drawn."""

    batch: BatchView
    left: float
    right: float
    owners: tuple[Bar, ...]
    boundaries: tuple[Boundary, ...]
    strip: Strip
    rows: tuple[Row, ...]
    stretch: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """A run with its batches on one axis, from `begin` to `end` in wall-clock seconds."""

    run: RunView
    scale: Scale
    begin: float
    end: float
    lanes: tuple[Lane, ...]
