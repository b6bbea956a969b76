"""Every error toolslot raises, in one tree under `ToolslotError`.

A message says what was found, why it matters and what to do. It never holds argument or result values: those may be secrets.
"""

from __future__ import annotations


class ToolslotError(Exception):
    """Something toolslot was asked for cannot be done."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else (type(self).__doc__ or "").strip())


class InvalidSetting(ToolslotError, ValueError):
    """A policy, limit or argument has a value that means nothing. Raised where it is given, before anything runs."""


class InvalidArguments(ToolslotError, TypeError):
    """The arguments do not fit the tool's function. Its code was not entered, so the call certainly did nothing."""


# --- calls and batches ------------------------------------------------------------------------------------------------


class BatchMismatch(ToolslotError):
    """The journal holds another call at this place than the one presented now.

    Raised instead of replaying a result that belongs to a different call. Nothing ran and nothing was changed.
    """


class BatchBusy(ToolslotError):
    """Another living owner works on this batch, or an attempt of the call still runs in this process, and did not finish within the time
    to wait (`Limits.busy_timeout`); or only such attempts hold the permit that it needs.

    Nothing ran here. Try again later, or take the batch over by force when that owner or attempt is stuck.
    """


class BatchClosed(ToolslotError):
    """The batch was closed or abandoned: its answers were handed over, so nothing of it runs any more."""


class ResponseNotSaved(ToolslotError):
    """The model's answer that asked for these calls is not known to be saved, or never will be. After a crash the model would be asked
    again, and its new calls would not be recognised.

    No call of the answer began here. Resume the run when the saver works again, or set what the message names.
    """


class Draining(ToolslotError):
    """The executor is shutting down and starts no more calls. The slot stays RESERVED: the call certainly did not run."""


class BatchTimedOut(ToolslotError):
    """The batch's deadline passed before this call began. Its slot stays RESERVED: it certainly did not run."""


class CallTimedOut(ToolslotError):
    """The call did not return within its timeout. Its effect may still happen: the slot is UNKNOWN, not FAILED."""


class UnknownOutcome(ToolslotError):
    """The call began and left no record, so it is not known whether it was done.

    Attributes name the slot: `run_id`, `batch_id`, `index`, `tool`, `idempotency_key`, `version` (what a decision must quote). `ask` is
    True when the policy wants a person to decide, False when this is simply the call's error.
    """

    def __init__(
        self,
        message: str,
        *,
        run_id: str,
        batch_id: str,
        index: int,
        tool: str,
        idempotency_key: str,
        version: int,
        ask: bool = False,
    ) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.batch_id = batch_id
        self.index = index
        self.tool = tool
        self.idempotency_key = idempotency_key
        self.version = version
        self.ask = ask


class EffectRefused(ToolslotError):
    """The call was not run, for what is known of the effect that its arguments name. That is its answer, which the model can read."""


class EffectConflict(EffectRefused):
    """Another call has the same effect key with other arguments: the amount of one invoice, say. Nothing was run."""


class EffectUnsettled(ToolslotError):
    """A call with an effect key is under way or of unknown outcome, so its record must stay. Nothing was changed."""


class ToolFailed(ToolslotError):
    """A recorded failure, replayed. The original exception object is gone; `error_type` and the text are what it left."""

    def __init__(self, message: str, *, error_type: str = "") -> None:
        super().__init__(message)
        self.error_type = error_type


class ResultNotStorable(ToolslotError):
    """The call is done and will not run again, but its result could not be stored, so it cannot be handed out again."""


class Fenced(ToolslotError):
    """Another owner has taken this batch over. The write changed nothing; this owner must stop working on the batch."""


class DecisionRefused(ToolslotError):
    """A decision about a slot was not taken: the slot is already decided, or it changed since the decision was made."""


class RecordMissing(ToolslotError):
    """The host holds answers to calls of this run of which the journal has no record: another one, or an emptied one. Nothing was run."""


class RunPurged(ToolslotError):
    """This batch was purged from the journal. It is refused rather than taken for a new one, which would run everything again."""


# --- values -----------------------------------------------------------------------------------------------------------


class NotStorable(ToolslotError, TypeError):
    """No codec at hand can write this value and read the same value back.

    `text` is what a codec would rather keep of it than its `repr`, or None.
    """

    text: str | None = None


class UnreadablePayload(ToolslotError, ValueError):
    """Stored bytes are damaged, or written by a codec this reader does not have. They are never guessed at."""


# --- journals ---------------------------------------------------------------------------------------------------------


class JournalError(ToolslotError):
    """The journal cannot do what was asked."""


class JournalBusy(JournalError):
    """The journal's lock was not free in time. Nothing was written by this operation; it may be tried again."""


class JournalFull(JournalError):
    """There is no room left to write the record."""


class JournalReadOnly(JournalError):
    """The journal cannot be written here."""


class JournalUnavailable(JournalError):
    """The journal cannot be opened at all."""


class JournalIOError(JournalError):
    """The storage reported an I/O error. Whether the record is durable is unknown until the journal is opened again."""


class JournalCorrupt(JournalError):
    """A record is damaged, or rows are missing. Nothing is repaired, guessed or deleted by itself."""


class JournalKeyMissing(JournalError):
    """What the journal holds is encrypted, and the key for it was not given. Nothing was changed and nothing ran."""


class JournalReplaced(JournalError):
    """The journal's file was deleted, emptied or exchanged while it was open."""


class JournalUnsafe(JournalError):
    """Other users can write the journal, or it lies where its guarantees cannot hold."""


class JournalUnsupported(JournalError):
    """This build of SQLite or diskcache cannot hold a journal."""


class JournalTooNew(JournalError):
    """The journal was written by a newer version of toolslot, whose rules this one does not know."""


class JournalTooOld(JournalError):
    """The journal has an older format, which must be migrated first and cannot be here."""


class NotAJournal(JournalError):
    """The path holds something else than a toolslot journal."""


class JournalClosed(JournalError):
    """The journal was closed; it takes no more work."""


class JournalWarning(UserWarning):
    """The journal works, but something about its surroundings deserves attention."""
