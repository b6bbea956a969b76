"""What a reservation does about batches before it: of the same conversation, and of an older format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from toolslot._domain._slot import Manifest, SlotSpec, SlotState, Witness
from toolslot._domain._state import JournalView, PutFence
from toolslot._errors import BatchMismatch
from toolslot._text import quoted, shown


def over(view: JournalView, run_id: str, lineages: Sequence[str]) -> tuple[PutFence, ...]:
    """Closes the batch of the response before, by its lineage, the newest first; the host has all its answers.

    Nothing more of it is entered. What of it was never entered was answered elsewhere, as calls are whose tools another node serves.
    """
    for lineage in lineages:
        key = view.lineage(run_id, lineage)
        state = view.state(key) if key is not None else None
        if state is None:
            continue
        if state.fence.closed or not all(slot.over for slot in state.slots()):
            return ()
        return (PutFence(key=state.key, fence=replace(state.fence, closed=True)),)
    return ()


def missing(view: JournalView, run_id: str, witness: Witness | None) -> bool:
    """Whether the host holds answers of which the journal has no record, nor forgot it in a purge."""
    if witness is None or view.purged(run_id):
        return False
    return witness is Witness.BATCH or not view.holds(run_id)


def refuse_outdated(view: JournalView, manifest: Manifest, former: str | None) -> None:
    """Raise `BatchMismatch` when a batch of format 1 holds these calls, which its host named by other rules then.

    One that is closed may be one whose answers were lost to the host, if its name has `former` in it, what tells of the very place.
    """
    if former is None:
        return
    for key in view.outdated(manifest.key.run_id):
        state = view.state(key)
        if state is None or state.manifest.adapter != manifest.adapter:
            continue
        if (not state.fence.closed or former in key.batch_id) and _holds(manifest, state.manifest):
            raise BatchMismatch(
                f"batch {key} holds these calls as an earlier version of toolslot recorded them, under a name by which this version"
                " does not go on, so nothing was run: see what they did with `toolslot show`, end the batch with `toolslot abandon`,"
                " and let the model answer again."
            )


def refuse_changed(view: JournalView, manifest: Manifest) -> None:
    """Raise `BatchMismatch` when a call of the same response is in flight, and the response has it no more or with other arguments."""
    key = view.lineage(manifest.key.run_id, manifest.lineage) if manifest.lineage is not None else None
    state = view.state(key) if key is not None else None
    if state is None or state.fence.closed:
        return
    for slot in state.slots():
        if slot.state in (SlotState.RUNNING, SlotState.UNKNOWN) and slot.delivered is None:
            called = [spec for spec in manifest.specs if _same_call(spec, slot.spec)]
            if not any(spec.same_arguments(slot.spec) for spec in called):
                what = "with other arguments" if called else "no more"
                raise BatchMismatch(
                    f"call {slot.index} ({shown(slot.spec.tool)}, call id {quoted(slot.spec.call_id)}) of batch {state.key} began and left"
                    f" no record, and the model's response has it {what}: something has changed it since, a middleware say. It may"
                    " be done, so nothing was run: settle it with `toolslot resolve`, or resume with the response as it was recorded."
                )


def _same_call(one: SlotSpec, other: SlotSpec) -> bool:
    return (one.tool, one.call_id) == (other.tool, other.call_id)


def _holds(now: Manifest, earlier: Manifest) -> bool:
    """Whether all calls of the earlier batch are among those of this one; it may have had those of some tools only."""
    return all(
        any(_same_call(spec, mine) and mine.same_arguments(spec) for mine in now.specs)
        for spec in earlier.specs
    )
