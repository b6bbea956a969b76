"""The contract of notes: what a running call says of itself is kept, and settles nothing."""

from __future__ import annotations

from toolslot._domain._slot import MOST_NOTES, Reason, SlotState
from toolslot._errors import Fenced
from toolslot.testing._checks import cases, raises, same
from toolslot.testing._kit import JournalKit


class NoteContract(JournalKit):
    """Append of `Noted`."""

    def test_a_note_of_a_running_call_is_kept_and_it_runs_on(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        row = worker.noted(0)
        slot = worker.write(row)
        same((slot.state, slot.attempt, slot.notes), (SlotState.RUNNING, 1, (row,)), "slot")
        same(worker.slot(0), slot, "loaded")
        same(worker.finish(0).state, SlotState.SUCCEEDED, "state")
        same(worker.slot(0).notes, (row,), "notes")

    def test_the_same_note_again_changes_nothing(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        row = worker.noted(0)
        same(worker.write(row), worker.write(row), "slot")

    def test_of_many_notes_the_newest_are_kept(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        rows = [worker.noted(0, f"step {number}") for number in range(MOST_NOTES + 5)]
        for row in rows:
            worker.write(row)
        same(worker.slot(0).notes, tuple(rows[5:]), "notes")

    def test_a_note_says_that_an_idempotent_call_began(self) -> None:
        worker = self.worker(1, idempotent=True)
        row = worker.noted(0)
        slot = worker.write(row)
        same((slot.state, slot.attempt, slot.notes), (SlotState.RUNNING, 1, (row,)), "slot")
        same(worker.write(worker.finished(0)).state, SlotState.SUCCEEDED, "state")

    @cases("reason", {"timed out": Reason.TIMED_OUT, "cancelled": Reason.CANCELLED})
    def test_a_thread_that_outlived_its_call_may_still_say_something(self, reason: Reason) -> None:
        worker = self.worker(1)
        worker.start(0)
        worker.write(worker.lost(0, reason))
        row = worker.noted(0)
        same(worker.write(row).notes, (row,), "notes")

    @cases("what", {"reserved": "reserved", "settled": "settled", "taken over": "taken over"})
    def test_a_note_of_a_call_that_does_not_run_is_refused(self, what: str) -> None:
        worker = self.worker(1)
        if what == "settled":
            worker.run(0)
        elif what == "taken over":
            worker.start(0)
            worker.succeed(worker.journal, self.owner(worker.journal))
        before = worker.record()
        with raises(Fenced):
            worker.write(worker.noted(0))
        same(worker.record(), before, "record")
