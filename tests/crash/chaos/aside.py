"""What processes beside the run do with its journal: an operator who resolves, and a purge."""

from __future__ import annotations

from crash.chaos.body import Body, effect_of, place_of
from crash.chaos.facts import Verb
from toolslot import Batch, Call, DiskJournal, Done, DurableExecutor, NotDone, RunPurged, SlotState, resolve
from toolslot.journal import purge_run


def resolve_all(body: Body) -> None:
    """Settle every call of unknown outcome, those that a dead owner left running included, by what the ledger knows of it."""
    journal = DiskJournal.open(body.journal)
    for key in journal.keys().result():
        record = journal.load(key).result()
        assert record is not None
        for slot in record.slots:
            if slot.state not in (SlotState.UNKNOWN, SlotState.RUNNING):
                continue
            # Following the dead owner makes a running call unknown, which is one more row.
            version = slot.version + (slot.state is SlotState.RUNNING)
            own, index = slot.key_in(key), place_of(slot.spec.tool, slot.index)
            value = effect_of(body.facts(), own)
            if value is None and record.fence.closed and slot.effect is None:
                continue  # the agent was told that nobody knows, and has gone on: nothing of it runs again
            body.note(Verb.ASKED, index=index, key=own)
            # Noted before it is done: killed in between, it is decided again.
            body.note(Verb.DECIDED, index=index, key=own, word="rerun" if value is None else "done")
            resolve(
                journal,
                key,
                slot.index,
                NotDone() if value is None else Done(value),
                by="operator",
                why="looked into the ledger",
                version=version,
            )
    body.tell({"status": "resolved"})


def purge_all(body: Body) -> None:
    """Forget every run, and see that none of them can be taken for a new one."""
    journal = DiskJournal.open(body.journal)
    known = body.folder / "runs"
    if not known.exists():
        (body.folder / "runs.new").write_text(
            "\0".join({key.run_id: "\1".join(key) for key in journal.keys().result()}.values())
        )
        (body.folder / "runs.new").rename(known)
    status = "purged"
    for run_id, _, batch_id in (each.partition("\1") for each in known.read_text().split("\0")):
        purge_run(journal, run_id, why="the trial is over")
        body.note(Verb.PURGED)
        try:
            with DurableExecutor(journal).open(
                Batch(run_id=run_id, batch_id=batch_id, calls=[Call(tool="pay")])
            ):
                status = "a purged run looks new"
        except RunPurged:
            pass
        if journal.keys(run_id).result():
            status = "a purged run is still listed"
    body.tell({"status": status})
