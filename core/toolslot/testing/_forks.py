"""The contract of forks (another batch of the same model response) and of calls that give way to others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from toolslot._domain._slot import BatchKey, Manifest, SlotSpec, SlotState
from toolslot._errors import BatchClosed, Fenced
from toolslot.journal import Adopt, Append, Reserve
from toolslot.testing._checks import cases, same
from toolslot.testing._kit import JournalKit, specs
from toolslot.testing._worker import do, text

_CHANGES: dict[str, Callable[[SlotSpec], SlotSpec]] = {
    "tool": lambda spec: replace(spec, tool="refund"),
    "arguments": lambda spec: replace(spec, digest="f" * 64),
    "arguments that cannot be compared": lambda spec: replace(spec, digest=None),
    "call id": lambda spec: replace(spec, call_id="another"),
}


class AdoptionContract(JournalKit):
    """Reserve with a lineage."""

    def _fork(self, count: int = 2, *, batch: str = "fork", lineage: str | None = "response") -> Manifest:
        return self.manifest(count, batch=batch, lineage=lineage)

    def test_an_unfinished_batch_is_adopted_with_what_it_did(self) -> None:
        worker = self.worker(2, lineage="response")
        worker.run(0, "paid")
        before = worker.record()
        found = self.reserve(self.open(), self._fork())
        same((found.key, found.fresh, found.adopted), (worker.key, False, True), "reservation")
        same(found.record, before, "its record")
        same(worker.record(), before, "record afterwards")

    def test_an_adopting_key_leads_to_the_slots_it_adopted(self) -> None:
        worker = self.worker(2, lineage="response")
        fork = self._fork()
        self.reserve(worker.journal, fork)
        worker.run(1)
        journal = self.reopen(worker.journal)
        same(self.load(journal, fork.key), self.load(journal, worker.key), "loaded")
        again = self.reserve(journal, fork)
        same((again.key, again.fresh, again.adopted), (worker.key, False, True), "reserved again")
        slot = do(journal, Append(key=fork.key, row=worker.started(0)))
        same(slot.state, SlotState.RUNNING, "started through the adopting key")
        record = self.load(journal, worker.key)
        same(record.slots[0] if record else None, slot, "slot")

    def test_an_adopting_key_is_not_listed(self) -> None:
        worker = self.worker(2, lineage="response")
        self.reserve(worker.journal, self._fork())
        same(worker.journal.keys("run").result(), (worker.key,), "keys")

    def test_a_closed_batch_is_not_adopted(self) -> None:
        worker = self.worker(2, lineage="response")
        worker.release(closed=True)
        found = self.reserve(worker.journal, self._fork())
        same((found.key, found.fresh, found.adopted), (BatchKey("run", "fork"), True, False), "reservation")

    def test_a_reservation_that_asks_is_told_of_a_closed_batch_and_writes_nothing(self) -> None:
        worker = self.worker(2, lineage="response")
        worker.release(closed=True)
        asking = Reserve(manifest=self._fork(), owner=self.owner(worker.journal), at=self.clock(), ask=True)
        found = do(worker.journal, asking)
        same((found.key, found.fresh, found.undecided), (worker.key, False, True), "reservation")
        same(self.load(worker.journal, asking.manifest.key), None, "loaded")
        adopted = do(worker.journal, replace(asking, adopt=Adopt.ALWAYS))
        same((adopted.key, adopted.adopted, adopted.undecided), (worker.key, True, False), "adopted")

    def test_what_was_adopted_stays_adopted_when_the_batch_is_closed(self) -> None:
        worker = self.worker(2, lineage="response")
        self.reserve(worker.journal, self._fork())
        worker.release(closed=True)
        found = self.reserve(worker.journal, self._fork())
        same((found.key, found.adopted), (worker.key, True), "reservation")

    @cases("closed", {"a closed one": True, "an unfinished one": False})
    def test_always_adopts_any_batch(self, closed: bool) -> None:
        worker = self.worker(2, lineage="response")
        worker.release(closed=closed)
        found = self.reserve(worker.journal, self._fork(), adopt=Adopt.ALWAYS)
        same((found.key, found.adopted), (worker.key, True), "reservation")

    def test_never_adopts_none(self) -> None:
        worker = self.worker(2, lineage="response")
        found = self.reserve(worker.journal, self._fork(), adopt=Adopt.NEVER)
        same((found.fresh, found.adopted), (True, False), "reservation")

    @cases("changed", _CHANGES)
    def test_a_batch_of_other_calls_is_not_adopted(self, changed: Callable[[SlotSpec], SlotSpec]) -> None:
        worker = self.worker(2, lineage="response")
        first, second = specs(2)
        fork = replace(self._fork(), specs=(first, changed(second)))
        found = self.reserve(worker.journal, fork, adopt=Adopt.ALWAYS)
        same((found.key, found.fresh, found.adopted), (fork.key, True, False), "reservation")

    @cases("count", {"fewer": 1, "more": 3})
    def test_a_batch_of_another_size_is_not_adopted(self, count: int) -> None:
        worker = self.worker(2, lineage="response")
        same(self.reserve(worker.journal, self._fork(count)).fresh, True, "fresh")

    def test_no_batch_without_that_lineage_in_that_run_is_adopted(self) -> None:
        journal = self.open()
        self.worker(2, batch="a", lineage=None, journal=journal)
        self.worker(2, batch="b", lineage="another response", journal=journal)
        self.worker(2, batch="c", lineage="response", run="another run", journal=journal)
        same(self.reserve(journal, self._fork(batch="d")).fresh, True, "with a lineage")
        same(self.reserve(journal, self._fork(batch="e", lineage=None)).fresh, True, "without")

    def test_the_newest_batch_of_a_lineage_is_adopted(self) -> None:
        worker = self.worker(2, lineage="response")
        worker.release(closed=True)
        second = self.reserve(worker.journal, self._fork(batch="second"))
        third = self.reserve(self.reopen(worker.journal), self._fork(batch="third"))
        same((second.fresh, third.adopted, third.key), (True, True, second.key), "reservations")


class RegenerationContract(JournalKit):
    """Another call takes an index; the old one's rows stay."""

    def _other(self, index: int = 0) -> SlotSpec:
        return SlotSpec(index=index, tool="refund", call_id="new", digest=None, args=text("{}"))

    def test_the_new_call_begins_from_nothing(self) -> None:
        worker = self.worker(2)
        worker.run(0, "old result")
        before = worker.slot(1)
        slot = worker.write(worker.regenerated(self._other()))
        same((slot.spec, slot.generation), (self._other(), 2), "slot")
        same((slot.state, slot.attempt, slot.outcome), (SlotState.RESERVED, 0, None), "slot")
        same(slot.version, 3, "version: the old rows are kept")
        same((worker.slot(0), worker.slot(1)), (slot, before), "loaded")
        same(worker.record().manifest.specs, specs(2), "manifest")

    def test_the_new_call_runs_on_its_own(self) -> None:
        worker = self.worker(1)
        worker.run(0, "old result")
        worker.write(worker.regenerated(self._other()))
        worker.refused(Fenced, worker.started(0, attempt=2))
        worker.write(replace(worker.started(0), generation=2))
        slot = worker.write(replace(worker.finished(0, "new result"), generation=2))
        same((slot.state, slot.attempt, slot.outcome), (SlotState.SUCCEEDED, 1, text("new result")), "slot")

    def test_a_late_result_of_the_old_call_does_not_touch_the_new_one(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        before = worker.write(worker.regenerated(self._other()))
        late = worker.finished(0, "of the old call")
        worker.refused(Fenced, late)
        worker.refused(Fenced, late)
        same(worker.slot(0), replace(before, version=before.version + 1), "slot")

    def test_nothing_of_the_old_call_touches_the_same_attempt_of_the_new_one(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        worker.write(worker.regenerated(self._other()))
        worker.refused(Fenced, worker.started(0))
        before = worker.write(replace(worker.started(0), generation=2))
        for row in (worker.withdrawn(0), worker.paused(0), worker.lost(0)):
            worker.write(row)
        same(worker.slot(0), before, "slot")
        worker.refused(Fenced, worker.finished(0, "of the old call"))
        same(worker.slot(0), replace(before, version=before.version + 1), "slot after its late result")

    def test_the_same_regeneration_again_changes_nothing(self) -> None:
        worker = self.worker(1)
        row = worker.regenerated(self._other())
        first = worker.write(row)
        same(worker.write(row), first, "slot")

    @cases("generation", {"the current one": 1, "a later one": 3})
    def test_generations_follow_one_another(self, generation: int) -> None:
        worker = self.worker(1)
        before = worker.slot(0)
        worker.refused(Fenced, worker.regenerated(self._other(), generation))
        same(worker.slot(0), before, "slot")

    def test_two_calls_cannot_become_the_same_generation(self) -> None:
        worker = self.worker(1)
        before = worker.write(worker.regenerated(self._other()))
        worker.refused(Fenced, worker.regenerated(replace(self._other(), call_id="rival")))
        same(worker.slot(0), before, "slot")

    def test_no_call_of_a_closed_batch_gives_way(self) -> None:
        worker = self.worker(1)
        before = worker.run(0)
        worker.release(closed=True)
        worker.refused(BatchClosed, worker.regenerated(self._other()))
        same(worker.slot(0), before, "slot")

    def test_no_call_gives_way_to_an_old_owner(self) -> None:
        worker = self.worker(1)
        worker.succeed(worker.journal, self.owner(worker.journal))
        worker.refused(Fenced, worker.regenerated(self._other()))
        same(worker.slot(0).generation, 1, "generation")
