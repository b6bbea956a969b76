"""What there is to see in a journal, for every view: the command line, the timeline page, notebooks. Nothing here changes anything."""

from __future__ import annotations

from toolslot._insights._records import (
    Attempt,
    BatchState,
    BatchView,
    CallView,
    DecisionView,
    OwnerView,
    PendingCall,
    RunSummary,
    RunView,
)
from toolslot._insights._service import Insights

__all__ = [
    "Attempt",
    "BatchState",
    "BatchView",
    "CallView",
    "DecisionView",
    "Insights",
    "OwnerView",
    "PendingCall",
    "RunSummary",
    "RunView",
]
