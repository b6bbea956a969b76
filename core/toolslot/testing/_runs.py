"""The contract of runs: listing, payloads, and purging."""

from __future__ import annotations

from collections.abc import Callable

from toolslot._domain._slot import BatchKey, Reason, Verdict
from toolslot._errors import RunPurged
from toolslot.journal import Append, Journal, Purge, Release
from toolslot.testing._checks import cases, raises, same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import PATIENCE, Worker, do

#: runs that a careless prefix, pattern or case-folding comparison takes for "run"
LOOKALIKES = ("ru", "run1", "run/", "run/batch", "Run", "run ", " run", "r%n", "r_n", "r*", "run\0", "")

_WRITES: dict[str, Callable[[Worker], object]] = {
    "a row": lambda worker: do(worker.journal, Append(key=worker.key, row=worker.lost(0))),
    "a result": lambda worker: do(worker.journal, Append(key=worker.key, row=worker.finished(0))),
    "a release": lambda worker: do(worker.journal, Release(key=worker.key, epoch=worker.epoch)),
    "a take-over": lambda worker: worker.succeed(worker.journal, worker.owner),
    "a decision": lambda worker: do(worker.journal, worker.decision(0, Verdict.DONE, version=2)),
}


class ListingContract(JournalKit):
    """keys and run_payload."""

    def _keys(self, journal: Journal, run: str | None = None) -> tuple[BatchKey, ...]:
        return journal.keys(run).result(PATIENCE)

    def test_an_empty_journal_lists_nothing(self) -> None:
        journal = self.open()
        same((self._keys(journal), self._keys(journal, "run")), ((), ()), "keys")

    def test_batches_are_listed_oldest_first(self) -> None:
        journal = self.open()
        names = [("b", "2"), ("a", "9"), ("b", "1"), ("a", "10"), ("b", "0")]
        for run, batch in names:
            self.worker(1, run=run, batch=batch, journal=journal)
        journal = self.reopen(journal)
        keys = [BatchKey(run, batch) for run, batch in names]
        same(self._keys(journal), tuple(keys), "of all runs")
        same(self._keys(journal, "b"), tuple(key for key in keys if key.run_id == "b"), "of run b")

    def test_work_does_not_change_the_order(self) -> None:
        journal = self.open()
        first = self.worker(1, batch="first", journal=journal)
        second = self.worker(1, batch="second", journal=journal)
        first.run(0)
        first.succeed(journal, self.owner(journal))
        same(self._keys(journal), (first.key, second.key), "keys")

    def test_only_the_batches_of_that_very_run_are_listed(self) -> None:
        journal = self.open()
        keys = {run: self.worker(1, run=run, journal=journal).key for run in ("run", *LOOKALIKES)}
        for run, key in keys.items():
            same(self._keys(journal, run), (key,), f"keys of run {run!r}")

    def test_a_runs_first_payload_wins(self) -> None:
        journal = self.open()
        self.reserve(journal, self.manifest(1, batch="a"), run_payload=b"\x00first\xff")
        self.reserve(journal, self.manifest(1, batch="b"), run_payload=b"second")
        self.reserve(journal, self.manifest(1, batch="c"))
        same(self.reopen(journal).run_payload("run").result(PATIENCE), b"\x00first\xff", "payload")

    def test_a_payload_may_come_with_a_later_batch(self) -> None:
        journal = self.open()
        self.reserve(journal, self.manifest(1, batch="a"))
        same(journal.run_payload("run").result(PATIENCE), None, "before")
        self.reserve(journal, self.manifest(1, batch="b"), run_payload=b"")
        same(journal.run_payload("run").result(PATIENCE), b"", "after")

    def test_the_payload_of_a_reservation_that_lost_is_not_kept(self) -> None:
        journal = self.open()
        self.reserve(journal, self.manifest(1))
        self.reserve(journal, self.manifest(1), run_payload=b"too late")
        same(journal.run_payload("run").result(PATIENCE), None, "payload")

    def test_every_run_has_a_payload_of_its_own(self) -> None:
        journal = self.open()
        for run in ("run", *LOOKALIKES):
            payload = repr(run).encode()
            self.reserve(journal, self.manifest(1, run=run), run_payload=payload)
        for run in ("run", *LOOKALIKES):
            same(journal.run_payload(run).result(PATIENCE), repr(run).encode(), f"payload of run {run!r}")


class AgeContract(JournalKit):
    """old_runs, page by page."""

    def _old(self, journal: Journal, before: float) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = journal.old_runs(before, cursor).result(PATIENCE)
            found += page.run_ids
            cursor = page.cursor
            if cursor is None:
                return sorted(found)

    def test_runs_are_as_old_as_their_latest_batch(self) -> None:
        journal = self.open()
        self.worker(1, run="old", journal=journal)
        self.worker(1, run="went on", journal=journal)
        self.worker(1, run="went on", batch="middle", journal=journal)
        moment = self.clock()
        self.worker(1, run="went on", batch="again", journal=journal)
        self.worker(1, run="new", journal=journal)
        journal = self.reopen(journal)
        same(self._old(journal, moment), ["old"], "before the moment")
        same(self._old(journal, self.clock()), ["new", "old", "went on"], "by now")
        same(self._old(journal, -1.0), [], "before everything")

    def test_every_one_of_many_runs_is_found_once(self) -> None:
        journal = self.open()
        names = ["run", *LOOKALIKES, *(f"run {number}" for number in range(120))]
        for name in names:
            self.worker(1, run=name, journal=journal)
            self.worker(1, run=name, batch="second", journal=journal)
        same(self._old(journal, self.clock()), sorted(names), "runs")

    def test_a_purged_run_is_no_old_one(self) -> None:
        journal = self.open()
        for name in ("gone", "there"):
            self.worker(1, run=name, journal=journal)
        do(journal, Purge(run_id="gone", at=self.clock(), why="too old"))
        same(self._old(journal, self.clock()), ["there"], "runs")


class PurgeContract(JournalKit):
    """Purge: what a run has is forgotten and never looks new; what comes later is taken."""

    def _purge(self, journal: Journal, run: str = "run") -> None:
        do(journal, Purge(run_id=run, at=self.clock(), why="too old"))

    def test_case_18_a_purged_run_is_refused_and_never_looks_new(self) -> None:
        worker = self.worker(2)
        self._purge(worker.journal)
        for journal in (self.open(), self.reopen(worker.journal)):
            with raises(RunPurged):
                self.reserve(journal, self.manifest(2))
            same(self.load(journal, worker.key), None, "loaded")

    def test_a_later_batch_of_a_purged_run_is_taken(self) -> None:
        journal = self.open()
        self.worker(1, lineage="first", journal=journal).run(0)
        self._purge(journal)
        later = self.worker(1, batch="later", lineage="second", journal=journal)
        later.run(0, "new")
        self.reserve(journal, self.manifest(1, batch="fork", lineage="second"))
        expected = later.record()
        for seen in (self.open(), self.reopen(journal)):
            same(self.load(seen, BatchKey("run", "fork")), expected, "the batch and its fork")
            same(seen.keys("run").result(PATIENCE), (later.key,), "keys")
            with raises(RunPurged):
                self.reserve(seen, self.manifest(1, lineage="first"))

    def test_a_purged_response_is_refused_under_another_key_too(self) -> None:
        journal = self.open()
        self.reserve(journal, self.manifest(1, lineage="response"))
        self.reserve(journal, self.manifest(1, batch="fork", lineage="response"))
        self._purge(journal)
        for batch, lineage in (("third", "response"), ("fork", None), ("fork", "another")):
            with raises(RunPurged):
                self.reserve(journal, self.manifest(1, batch=batch, lineage=lineage))
        self.reserve(journal, self.manifest(1, batch="response", lineage="batch"))

    def test_a_run_that_went_on_can_be_purged_again(self) -> None:
        journal = self.open()
        for batch in ("first", "second", "third"):
            self.worker(1, batch=batch, journal=journal).run(0)
            self.reserve(journal, self.manifest(1, batch=f"{batch} payload"), run_payload=batch.encode())
            same(journal.run_payload("run").result(PATIENCE), batch.encode(), "payload")
            self._purge(journal)
            same(journal.keys("run").result(PATIENCE), (), "keys")
        journal = self.reopen(journal)
        for batch in ("first", "second", "third"):
            with raises(RunPurged):
                self.reserve(journal, self.manifest(1, batch=batch))
        same(self.reserve(journal, self.manifest(1, batch="fourth")).fresh, True, "fresh")

    def test_a_purged_run_leaves_nothing_to_find(self) -> None:
        journal = self.open()
        manifest = self.manifest(1, lineage="response")
        self.reserve(journal, manifest, run_payload=b"secret")
        fork = self.manifest(1, batch="fork", lineage="response")
        self.reserve(journal, fork)
        self._purge(journal)
        for seen in (journal, self.open()):
            same(seen.keys().result(PATIENCE), (), "keys")
            same(seen.run_payload("run").result(PATIENCE), None, "payload")
            same((self.load(seen, manifest.key), self.load(seen, fork.key)), (None, None), "loaded")

    def test_other_runs_are_untouched(self) -> None:
        journal = self.open()
        worker = self.worker(1, journal=journal)
        others = [self.worker(1, run=run, lineage="response", journal=journal) for run in LOOKALIKES]
        for other in others:
            other.run(0, other.key.run_id)
        before = [other.record() for other in others]
        self._purge(journal)
        same([other.record() for other in others], before, "records")
        same(journal.keys().result(PATIENCE), tuple(other.key for other in others), "keys")
        same(self.load(journal, worker.key), None, "the purged one")

    @cases("write", _WRITES)
    def test_nothing_is_written_to_a_purged_run(self, write: Callable[[Worker], object]) -> None:
        worker = self.worker(1)
        worker.doubt(0, Reason.CANCELLED)
        self._purge(self.open())
        with raises(RunPurged):
            write(worker)
        same(self.load(worker.journal, worker.key), None, "loaded")

    def test_purging_twice_is_harmless(self) -> None:
        worker = self.worker(1)
        self._purge(worker.journal)
        self._purge(worker.journal)
        with raises(RunPurged):
            self.reserve(worker.journal, self.manifest(1))

    def test_a_run_that_was_never_seen_can_be_purged(self) -> None:
        journal = self.open()
        self._purge(journal)
        same(self.reserve(journal, self.manifest(1)).fresh, True, "nothing of it was forgotten")
