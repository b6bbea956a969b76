"""The contract of closing: nothing handed in is lost, nothing more is taken."""

from __future__ import annotations

from collections.abc import Callable

from toolslot._domain._slot import BatchKey, SlotState
from toolslot._errors import JournalClosed
from toolslot.journal import Append, Journal
from toolslot.testing._checks import cases, raises, same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import PATIENCE, Broken

_USES: dict[str, Callable[[Journal], object]] = {
    "submit": lambda journal: journal.submit(Broken()).result(PATIENCE),
    "load": lambda journal: journal.load(BatchKey("run", "batch")).result(PATIENCE),
    "keys": lambda journal: journal.keys().result(PATIENCE),
    "run_payload": lambda journal: journal.run_payload("run").result(PATIENCE),
}


class ClosingContract(JournalKit):
    """close."""

    def test_closing_writes_what_was_handed_in(self) -> None:
        worker = self.worker(50)
        marks = [worker.started(index) for index in range(50)]
        pending = [worker.journal.submit(Append(key=worker.key, row=mark)) for mark in marks]
        worker.journal.close()
        same([future.done() for future in pending], [True] * 50, "answered")
        record = worker.through(self.open()).record()
        same({slot.state for slot in record.slots}, {SlotState.RUNNING}, "states")

    def test_closing_twice_is_harmless(self) -> None:
        journal = self.open()
        journal.close()
        journal.close()

    def test_closing_leaves_other_openers_at_work(self) -> None:
        worker = self.worker(1)
        other = self.open()
        other.close()
        same(worker.run(0).state, SlotState.SUCCEEDED, "state")

    @cases("use", _USES)
    def test_a_closed_journal_takes_no_more_work(self, use: Callable[[Journal], object]) -> None:
        journal = self.open()
        journal.close()
        with raises(JournalClosed):
            use(journal)

    def test_an_owner_may_retire_from_a_closed_journal(self) -> None:
        journal = self.open()
        owner = self.owner(journal)
        journal.enlist(owner)
        journal.close()
        journal.retire(owner)
