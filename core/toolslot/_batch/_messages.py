"""What to say of a call that did not start or return, is held elsewhere or of unknown outcome, and of a batch that is another one, closed
or gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from toolslot._domain._slot import BatchKey, Call, Fence, SlotPlace, SlotRecord, SlotSpec
from toolslot._errors import (
    BatchBusy,
    BatchClosed,
    BatchMismatch,
    BatchTimedOut,
    CallTimedOut,
    Fenced,
    UnknownOutcome,
)
from toolslot._text import quoted, shown


def not_started(key: BatchKey, index: int, tool: str, batch_timeout: float | None) -> BatchTimedOut:
    return BatchTimedOut(
        f"call {index} ({shown(tool)}) of batch {key} was not started: the batch's deadline ({batch_timeout:g} s) has passed. It"
        " certainly did not run, and runs on resume."
    )


def not_returned(key: BatchKey, index: int, tool: str, timeout: float | None) -> CallTimedOut:
    within = f"{timeout:g} s" if timeout is not None else "the batch's deadline"
    return CallTimedOut(
        f"call {index} ({shown(tool)}) of batch {key} did not return within {within}. It may still have its effect, so its outcome is"
        " unknown; the tool's policy is applied on resume."
    )


def held(key: BatchKey, fence: Fence | None, waited: float | None = None) -> BatchBusy:
    owner, epoch = (fence.owner, fence.epoch) if fence is not None else (None, 0)
    within = f" and did not finish within {waited:g} s" if waited is not None else ""
    return BatchBusy(
        f"batch {key} is worked on by {owner} (epoch {epoch}), which is alive{within}. Nothing ran here. Try again later; if that owner is"
        " stuck, take the batch over by force."
    )


#: calls that are named in a message
_MOST = 5

#: what helps in a host that makes batches itself and knows no leniency
_AS_RECORDED = "Resume with the model's answer as it was recorded, or begin a new run for changed calls."


def other_size(
    key: BatchKey, recorded: Sequence[SlotSpec], presented: Sequence[Call], adapter: str
) -> BatchMismatch:
    """The journal holds another number of calls."""
    remedy = "Use a new batch id for a new answer." if adapter == "core" else _AS_RECORDED
    before, now = ([(call.tool, call.call_id) for call in calls] for calls in (recorded, presented))
    gone = [f"{shown(tool)} ({quoted(call_id)})" for tool, call_id in before if (tool, call_id) not in now]
    new = [f"{shown(tool)} ({quoted(call_id)})" for tool, call_id in now if (tool, call_id) not in before]
    differs = f" No longer there: {', '.join(gone[:_MOST])}." if gone else ""
    differs += f" New: {', '.join(new[:_MOST])}." if new else ""
    return BatchMismatch(
        f"batch {key} was reserved with {len(recorded)} calls, now {len(presented)} are presented: the model's answer is not the one that"
        f" was recorded, so no result can be matched.{differs} {remedy}"
    )


def closed(key: BatchKey, index: int, tool: str) -> BatchClosed:
    """Nothing of the batch runs any more, and this call has no answer."""
    return BatchClosed(
        f"batch {key} is closed and holds no answer for call {index} ({shown(tool)}): it was abandoned, or its answers were handed over."
        " Start a new run."
    )


def still_running(key: BatchKey, index: int, tool: str, waited: float | None = None) -> BatchBusy:
    within = f" and did not end within {waited:g} s" if waited is not None else ""
    return BatchBusy(
        f"call {index} ({shown(tool)}) of batch {key} still runs in this process{within}: it outlived its timeout or its caller, or"
        " another caller is at it. It was not run again, and its policy was not applied. Try again later, its result is taken then; if it"
        " is stuck, take the batch over by force, and its policy is applied."
    )


def no_permit(key: BatchKey, index: int, tool: str, holders: Sequence[str], waited: float) -> BatchBusy:
    return BatchBusy(
        f"call {index} ({shown(tool)}) of batch {key} was not started: within {waited:g} s it got no permit, for all are held by calls"
        f" whose code outlived its timeout or its caller ({', '.join(holders)}). It certainly did not run. Try again when they have ended,"
        " or raise the limit."
    )


def gone(key: BatchKey) -> Fenced:
    return Fenced(f"batch {key} is gone from the journal: its run was purged while it was worked on.")


def another_call(
    key: BatchKey, recorded: SlotSpec, presented: SlotSpec, differs: Sequence[str], names: Sequence[str]
) -> str:
    """Both calls and in what they differ; of arguments only the `names` of those that do."""
    which = f" ({', '.join(map(quoted, names))})" if names else ""
    return (
        f"call {recorded.index} of batch {key} was recorded as {quoted(recorded.tool)} with call id {quoted(recorded.call_id)}"
        f" and arguments {_short(recorded.digest)}; presented now: {quoted(presented.tool)} with call id"
        f" {quoted(presented.call_id)} and arguments {_short(presented.digest)}. They differ in {', '.join(differs)}{which}"
    )


def _short(digest: str | None) -> str:
    return "that cannot be compared" if digest is None else f"sha256:{digest[:12]}"


def not_this_call(adapter: str) -> str:
    remedy = (
        "Use a new run id for changed calls, or on_mismatch='lenient' to let the new call take this place."
        if adapter == "core"
        else _AS_RECORDED
    )
    return f"The recorded result belongs to another call, so nothing was replayed and nothing ran. {remedy}"


def inside_of(key: BatchKey, index: int, tool: str, holder: SlotPlace) -> BatchBusy:
    return BatchBusy(
        f"call {index} ({shown(tool)}) of batch {key} was not started: it runs inside {holder}, which has the same effect key and is under"
        " way, so each would wait for the other. Give one of the two tools another effect_name=, or their calls other keys."
    )


def unknown_outcome(key: BatchKey, slot: SlotRecord, what: str, *, ask: bool) -> UnknownOutcome:
    """The error that names an undecided call, and all that is needed to decide about it."""
    idempotency_key = slot.key_in(key)
    reason = f" ({slot.reason.value})" if slot.reason is not None else ""
    return UnknownOutcome(
        f"nobody here can know whether call {slot.index} ({quoted(slot.spec.tool)}) of batch {key} was done: {what}{reason}. It was not run"
        f" again. Find out with its idempotency key {idempotency_key} and decide: done, failed, or rerun.",
        run_id=key.run_id,
        batch_id=key.batch_id,
        index=slot.index,
        tool=slot.spec.tool,
        idempotency_key=idempotency_key,
        version=slot.version,
        ask=ask,
    )
