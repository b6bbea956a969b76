"""What there is to see in a journal, for every view: the command line, the timeline page, notebooks. Nothing here changes anything."""

from __future__ import annotations

from toolslot._views._records import (
    AttemptView,
    BatchStatus,
    BatchView,
    CallView,
    DecisionView,
    LateResult,
    OwnerView,
    PendingCall,
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
    "Insights",
    "LateResult",
    "OwnerView",
    "PendingCall",
    "RunSummary",
    "RunView",
    "coarse_span_text",
    "date_text",
    "drawn_by",
    "note_text",
    "noun",
    "repeated_text",
    "span_text",
    "time_text",
]
