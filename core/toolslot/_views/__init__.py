"""What there is to see in a journal, for every view: the command line, the timeline page, notebooks. Nothing here changes anything."""

from __future__ import annotations

from toolslot._domain._effects import EffectState
from toolslot._views._effects import EffectView, key_text, part_text
from toolslot._views._records import (
    AttemptView,
    BatchStatus,
    BatchView,
    CallView,
    DecisionView,
    LateResult,
    OwnerView,
    PendingCall,
    PlaceView,
    RunSummary,
    RunView,
    drawn_by,
)
from toolslot._views._service import Insights
from toolslot._views._words import (
    LETTERS,
    coarse_span_text,
    date_text,
    note_text,
    noun,
    repeated_text,
    span_text,
    time_text,
)

__all__ = [
    "LETTERS",
    "AttemptView",
    "BatchStatus",
    "BatchView",
    "CallView",
    "DecisionView",
    "EffectState",
    "EffectView",
    "Insights",
    "LateResult",
    "OwnerView",
    "PendingCall",
    "PlaceView",
    "RunSummary",
    "RunView",
    "coarse_span_text",
    "date_text",
    "drawn_by",
    "key_text",
    "note_text",
    "noun",
    "part_text",
    "repeated_text",
    "span_text",
    "time_text",
]
