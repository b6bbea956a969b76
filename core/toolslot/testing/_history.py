"""The contract of history: every row, those without effect on a state included."""

from __future__ import annotations

from toolslot._domain._slot import BatchHistory, BatchKey, Reason, Row
from toolslot.journal import Journal, Purge
from toolslot.testing._checks import same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import PATIENCE, do


class HistoryContract(JournalKit):
    """history."""

    def _history(self, journal: Journal, key: BatchKey) -> BatchHistory | None:
        return journal.history(key).result(PATIENCE)

    def test_history_holds_every_row_of_a_slot_in_the_order_written(self) -> None:
        worker = self.worker(2)
        written: list[Row] = [worker.started(0), worker.lost(0, Reason.CANCELLED), worker.withdrawn(0)]
        written += [worker.started(0, 2), worker.finished(0, "paid", 2)]
        for row in written:
            worker.write(row)
        history = self._history(worker.journal, worker.key)
        same(history and history.rows, (tuple(written), ()), "rows")
        same(history and history.record, worker.record(), "record")
        same(self._history(self.reopen(worker.journal), worker.key), history, "reopened")

    def test_an_adopted_batch_is_found_under_both_names(self) -> None:
        journal = self.open()
        first, fork = (self.manifest(1, batch=batch, lineage="response") for batch in ("a", "b"))
        self.reserve(journal, first)
        self.reserve(journal, fork)
        same(self._history(journal, fork.key), self._history(journal, first.key), "history")

    def test_a_batch_that_was_never_reserved_has_no_history(self) -> None:
        same(self._history(self.open(), BatchKey("run", "batch")), None, "history")

    def test_many_are_told_at_once_as_each_by_itself(self) -> None:
        journal = self.open()
        first, fork = (self.manifest(1, batch=batch, lineage="response") for batch in ("a", "b"))
        self.reserve(journal, first)
        self.reserve(journal, fork)
        later = self.worker(2, run="other", journal=journal)
        later.run(1)
        asked = [later.key, BatchKey("run", "never"), fork.key, first.key, later.key]
        for seen in (journal, self.open()):
            found = seen.histories(asked).result(PATIENCE)
            same(found, tuple(self._history(journal, key) for key in asked), "histories")
            same(found[1], None, "one that was never reserved")
            same(seen.histories(()).result(PATIENCE), (), "none asked for")

    def test_a_purged_batch_has_no_history_among_many(self) -> None:
        worker, other = self.worker(1), self.worker(1, run="other")
        do(worker.journal, Purge(run_id="run", at=self.clock(), why="old"))
        found = other.journal.histories([worker.key, other.key]).result(PATIENCE)
        same(
            [each and each.record for each in found if not isinstance(each, Exception)],
            [None, other.record()],
        )
