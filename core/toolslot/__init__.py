"""Durable, recoverable parallel tool calls for LLM agents: the framework-agnostic core."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

# A name is imported when it is first asked for, so that a program waits only for what it uses.
if TYPE_CHECKING:
    from toolslot._batch._batch_run import BatchRun
    from toolslot._batch._context import CallContext, current_call
    from toolslot._batch._reserving import Kept
    from toolslot._codec import Codec, JsonCodec, TypeCodec, dataclass_type, enum_type, pydantic_type
    from toolslot._domain._events import BatchEvent, CallEvent, CallMetrics, EventKind, Hook
    from toolslot._domain._policy import (
        Answer,
        CannotTell,
        Done,
        Failed,
        Limits,
        NotDone,
        OnFailed,
        OnResume,
        OnUnknown,
        Rate,
        Reconciler,
        StillRunning,
        ToolPolicy,
    )
    from toolslot._domain._retry import Retry
    from toolslot._domain._slot import (
        Batch,
        BatchKey,
        BatchRecord,
        Call,
        Reason,
        SlotRecord,
        SlotState,
        Witness,
    )
    from toolslot._domain._view import EvidenceView, NoteView, Slot
    from toolslot._errors import (
        BatchBusy,
        BatchClosed,
        BatchMismatch,
        BatchTimedOut,
        CallTimedOut,
        DecisionRefused,
        Draining,
        EffectConflict,
        EffectRefused,
        EffectUnsettled,
        Fenced,
        InvalidArguments,
        InvalidSetting,
        JournalBusy,
        JournalClosed,
        JournalCorrupt,
        JournalError,
        JournalFull,
        JournalIOError,
        JournalKeyMissing,
        JournalReadOnly,
        JournalReplaced,
        JournalTooNew,
        JournalTooOld,
        JournalUnavailable,
        JournalUnsafe,
        JournalUnsupported,
        JournalWarning,
        NotAJournal,
        NotStorable,
        RecordMissing,
        ResponseNotSaved,
        ResultNotStorable,
        RunPurged,
        ToolFailed,
        ToolslotError,
        UnknownOutcome,
        UnreadablePayload,
    )
    from toolslot._executor import DurableExecutor
    from toolslot._operator import abandon, resolve, takeover
    from toolslot._views.timeline._show import show
    from toolslot.instrumentation import LoggingHook
    from toolslot.journal import Adopt, DiskJournal, Durability, Journal, MemoryJournal, OwnerState
    from toolslot.journal._format._encryption import Encryption

__version__ = "0.1.0"

__all__ = [
    "Adopt",
    "Answer",
    "Batch",
    "BatchBusy",
    "BatchClosed",
    "BatchEvent",
    "BatchKey",
    "BatchMismatch",
    "BatchRecord",
    "BatchRun",
    "BatchTimedOut",
    "Call",
    "CallContext",
    "CallEvent",
    "CallMetrics",
    "CallTimedOut",
    "CannotTell",
    "Codec",
    "DecisionRefused",
    "DiskJournal",
    "Done",
    "Draining",
    "Durability",
    "DurableExecutor",
    "EffectConflict",
    "EffectRefused",
    "EffectUnsettled",
    "Encryption",
    "EventKind",
    "EvidenceView",
    "Failed",
    "Fenced",
    "Hook",
    "InvalidArguments",
    "InvalidSetting",
    "Journal",
    "JournalBusy",
    "JournalClosed",
    "JournalCorrupt",
    "JournalError",
    "JournalFull",
    "JournalIOError",
    "JournalKeyMissing",
    "JournalReadOnly",
    "JournalReplaced",
    "JournalTooNew",
    "JournalTooOld",
    "JournalUnavailable",
    "JournalUnsafe",
    "JournalUnsupported",
    "JournalWarning",
    "JsonCodec",
    "Kept",
    "Limits",
    "LoggingHook",
    "MemoryJournal",
    "NotAJournal",
    "NotDone",
    "NotStorable",
    "NoteView",
    "OnFailed",
    "OnResume",
    "OnUnknown",
    "OwnerState",
    "Rate",
    "Reason",
    "Reconciler",
    "RecordMissing",
    "ResponseNotSaved",
    "ResultNotStorable",
    "Retry",
    "RunPurged",
    "Slot",
    "SlotRecord",
    "SlotState",
    "StillRunning",
    "ToolFailed",
    "ToolPolicy",
    "ToolslotError",
    "TypeCodec",
    "UnknownOutcome",
    "UnreadablePayload",
    "Witness",
    "abandon",
    "current_call",
    "dataclass_type",
    "enum_type",
    "pydantic_type",
    "resolve",
    "show",
    "takeover",
]


#: where the public names are, from what is needed by most to what is needed by least
_ROOMS = (
    "_errors",
    "_codec",
    "_domain._slot",
    "_domain._policy",
    "_domain._retry",
    "_domain._events",
    "_domain._view",
    "_batch._context",
    "journal",
    "journal._format._encryption",
    "instrumentation",
    "_batch._reserving",
    "_batch._batch_run",
    "_executor",
    "_operator",
    "_views.timeline._show",
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# Not for type checkers: to them a name that is not above is an error.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in ("instrumentation", "journal"):
            return import_module(f"toolslot.{name}")
        if name in __all__:
            for room in _ROOMS:
                module = import_module(f"toolslot.{room}")
                if hasattr(module, name):
                    value = globals()[name] = getattr(module, name)
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
