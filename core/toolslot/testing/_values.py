"""The contract of values: whatever is written comes back, to the byte and to the last bit, after reopening too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from toolslot._codec import Payload
from toolslot._domain._slot import BatchKey, SlotSpec, Verdict
from toolslot._errors import Fenced
from toolslot.journal import Purge
from toolslot.testing._checks import cases, same
from toolslot.testing._kit import JournalKit, specs
from toolslot.testing._stories import ODD, SIZES, STORIES, blob
from toolslot.testing._worker import PATIENCE, Worker, an_error, do, text


class ValueContract(JournalKit):
    """Round trips."""

    @cases("history", STORIES)
    def test_every_kind_of_row_comes_back(self, history: Callable[[Worker], object]) -> None:
        worker = self.worker(2)
        history(worker)
        self._comes_back(worker)

    @cases("odd", ODD)
    def test_odd_run_and_batch_ids_are_ids_like_others(self, odd: str) -> None:
        worker = self.worker(2, run=odd, batch=odd, lineage=odd)
        worker.run(1)
        journal = self.reopen(worker.journal)
        record = self.load(journal, BatchKey(odd, odd))
        same(record.key if record else None, BatchKey(odd, odd), "key")
        same(record.slots[1].outcome if record else None, text("done"), "outcome")
        same(journal.keys(odd).result(PATIENCE), (BatchKey(odd, odd),), "keys of the run")
        fork = self.reserve(journal, self.manifest(2, run=odd, batch=f"fork of {odd}", lineage=odd))
        same(fork.adopted, True, "found by its lineage")

    def test_odd_ids_are_never_mistaken_for_one_another(self) -> None:
        journal = self.open()
        keys = [BatchKey(odd, "batch") for odd in ODD.values()] + [
            BatchKey("run", odd) for odd in ODD.values()
        ]
        keys += [BatchKey("a/b", "c"), BatchKey("a", "b/c"), BatchKey("a#b", "c"), BatchKey("a", "b#c")]
        for key in keys:
            worker = self.worker(1, run=key.run_id, batch=key.batch_id, journal=journal)
            worker.run(0, repr(key))
        for key in keys:
            record = self.load(journal, key)
            same(record.slots[0].outcome if record else None, text(repr(key)), f"outcome of {key!r}")
        same(journal.keys().result(PATIENCE), tuple(keys), "keys")

    def test_purging_an_odd_run_leaves_the_other_odd_ones(self) -> None:
        journal = self.open()
        keys = [self.worker(1, run=odd, journal=journal).key for odd in ODD.values()]
        for key in keys[::2]:
            do(journal, Purge(run_id=key.run_id, at=self.clock(), why=""))
        same(journal.keys().result(PATIENCE), tuple(keys[1::2]), "keys")

    @cases("odd", ODD)
    def test_odd_texts_come_back_wherever_they_stand(self, odd: str) -> None:
        spec = SlotSpec(index=0, tool=odd, call_id=odd, digest=odd, args=text(odd))
        worker = self.worker(calls=(spec,))
        worker.start(0)
        worker.write(replace(worker.withdrawn(0), why=odd))
        worker.start(0, attempt=2)
        worker.write(worker.lost(0, attempt=2))
        decision = replace(
            worker.decision(0, Verdict.FAILED), by=odd, why=odd, decision_id=odd, error=an_error(odd)
        )
        do(worker.journal, decision)
        self._comes_back(worker)

    @cases("size", SIZES)
    def test_results_of_any_size_come_back(self, size: int) -> None:
        worker = self.worker(2)
        worker.start(0)
        outcome = Payload(codec="b", data=blob(size))
        worker.write(replace(worker.finished(0), outcome=outcome))
        worker.doubt(1)
        do(worker.journal, replace(worker.decision(1, Verdict.DONE), outcome=outcome))
        after = self._comes_back(worker)
        same([slot.outcome for slot in after.record().slots], [outcome, outcome], "outcomes")

    @cases("size", SIZES)
    def test_reservations_of_any_size_come_back(self, size: int) -> None:
        journal = self.open()
        args = Payload(codec="b", data=blob(size))
        calls = tuple(replace(spec, args=args) for spec in specs(2))
        manifest = replace(self.manifest(), specs=calls, payload=blob(size))
        self.reserve(journal, manifest, run_payload=blob(size))
        journal = self.reopen(journal)
        record = self.load(journal, manifest.key)
        same(record.manifest if record else None, manifest, "manifest")
        same(journal.run_payload("run").result(PATIENCE), blob(size), "payload of the run")

    @cases("size", SIZES)
    def test_evidence_and_deliveries_of_any_size_come_back(self, size: int) -> None:
        worker = self.worker(1)
        worker.doubt(0)
        payload = Payload(codec="b", data=blob(size))
        worker.write(replace(worker.delivered(0), outcome=payload))
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        worker.refused(Fenced, replace(worker.finished(0), outcome=payload))
        slot = self._comes_back(later).slot(0)
        same([row.outcome for row in slot.evidence], [payload], "evidence")
        same(slot.delivered.outcome if slot.delivered else None, payload, "delivered")

    @cases("lossy", {"exact": False, "lossy": True})
    def test_payloads_keep_their_codec_and_their_loss(self, lossy: bool) -> None:
        worker = self.worker(1)
        worker.start(0)
        outcome = Payload(codec="x:my codec", data=b"\x00", lossy=lossy)
        worker.write(replace(worker.finished(0), outcome=outcome))
        same(self._comes_back(worker).slot(0).outcome, outcome, "outcome")

    @cases(
        "at",
        {
            "a fraction": 1_700_000_000 + 1 / 3,
            "the epoch": 0.0,
            "before it": -1.5,
            "the smallest": math.ulp(0.0),
            "far away": 1e300,
        },
    )
    def test_times_come_back_to_the_last_bit(self, at: float) -> None:
        worker = self.worker(1)
        worker.write(replace(worker.started(0), at=at, queued_at=-at))
        worker.write(replace(worker.finished(0), at=at, queued_at=at, started_at=at))
        self._comes_back(worker)

    def test_large_numbers_come_back(self) -> None:
        worker = self.worker(1)
        worker.write(worker.regenerated(replace(specs(1)[0], tool="other"), generation=2))
        for attempt in range(1, 30):
            worker.write(replace(worker.started(0, attempt), generation=2))
            worker.write(replace(worker.withdrawn(0, attempt), generation=2))
        slot = self._comes_back(worker).slot(0)
        same((slot.generation, slot.attempt, slot.version), (2, 29, 59), "numbers")

    def test_an_error_comes_back(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        worker.write(worker.finished(0, error=an_error("\ud800 " + "long " * 1000), escaped=True))
        self._comes_back(worker)

    # --- helpers ------------------------------------------------------------------------------------------

    def _comes_back(self, worker: Worker) -> Worker:
        """The record must be the same after reopening; the same worker, on the new opener."""
        before = worker.record()
        after = worker.through(self.reopen(worker.journal))
        same(after.record(), before, "record after reopening")
        return after
