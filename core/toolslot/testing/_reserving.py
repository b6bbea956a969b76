"""The contract of reservations: all slots at once, in order, once; the first one wins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from toolslot._domain._slot import BatchKey, Fence, Reason, SlotState
from toolslot.journal import Reserve
from toolslot.testing._checks import cases, same
from toolslot.testing._kit import JournalKit, specs
from toolslot.testing._worker import Worker, do


class ReservingContract(JournalKit):
    """Reserve."""

    @cases("count", {"no calls": 0, "one call": 1, "three calls": 3, "a thousand calls": 1000})
    def test_a_reservation_holds_every_call_in_the_models_order(self, count: int) -> None:
        journal = self.open()
        manifest, owner = self.manifest(count), self.owner(journal)
        reservation = self.reserve(journal, manifest, owner=owner)
        same(reservation.fresh, True, "fresh")
        same(reservation.adopted, False, "adopted")
        same(reservation.key, manifest.key, "key")
        record = reservation.record
        same(record.manifest, manifest, "manifest")
        # A batch without calls needs no owner, and all its answers were handed over.
        same(record.fence, Fence(epoch=1, owner=owner, held=count > 0, closed=count == 0), "fence")
        same([(tenure.epoch, tenure.owner) for tenure in record.tenures], [(1, owner)], "tenures")
        same(record.tenures[0].at > manifest.created, True, "since when")
        same(tuple(slot.spec for slot in record.slots), manifest.specs, "specs")
        same({slot.state for slot in record.slots} <= {SlotState.RESERVED}, True, "all reserved")
        same({slot.attempt for slot in record.slots} <= {0}, True, "no attempt begun")
        same(self.load(journal, manifest.key), record, "loaded")

    def test_a_batch_that_was_never_reserved_is_none(self) -> None:
        same(self.load(self.open(), BatchKey("run", "batch")), None)

    def test_another_opener_sees_the_reservation(self) -> None:
        worker = self.worker()
        same(self.load(self.open(), worker.key), worker.record())

    def test_a_second_reservation_gets_the_first_ones_record_and_changes_nothing(self) -> None:
        first = self.worker(3)
        before = first.record()
        other = self.open()
        second = replace(self.manifest(2), payload=b"other", adapter="other")
        found = self.reserve(other, second)
        same((found.fresh, found.adopted, found.key), (False, False, first.key), "reservation")
        same(found.record, before, "the second one's record")
        same(first.record(), before, "record afterwards")

    def test_a_second_reservation_finds_the_work_that_was_done(self) -> None:
        worker = self.worker(2)
        worker.run(1)
        worker.start(0)
        found = self.reserve(self.open(), self.manifest(2))
        same([slot.state for slot in found.record.slots], [SlotState.RUNNING, SlotState.SUCCEEDED], "states")
        same(found.record, worker.record(), "record")

    def test_marks_that_come_with_a_reservation_are_those_of_its_calls(self) -> None:
        journal = self.open()
        manifest, owner = self.manifest(3), self.owner(journal)
        worker = Worker(journal=journal, key=manifest.key, owner=owner, epoch=1, clock=self.clock)
        marks = (worker.started(0), worker.started(2))
        made = do(journal, Reserve(manifest=manifest, owner=owner, at=self.clock(), starts=marks))
        states = [SlotState.RUNNING, SlotState.RESERVED, SlotState.RUNNING]
        same([slot.state for slot in made.record.slots], states, "states")
        same(made.record.slots[2].started_at, marks[1].at, "started at")
        same(self.load(self.open(), manifest.key), made.record, "loaded by another opener")
        same(worker.finish(0).state, SlotState.SUCCEEDED, "finished")
        same(worker.write(worker.withdrawn(2)).state, SlotState.RESERVED, "withdrawn")

    def test_marks_that_come_with_a_second_reservation_are_not_written(self) -> None:
        first = self.worker(2)
        before = first.record()
        other = self.open()
        found = do(
            other,
            Reserve(
                manifest=self.manifest(2),
                owner=self.owner(other),
                at=self.clock(),
                starts=(first.started(0),),
            ),
        )
        same(found.record, before, "the second one's record")
        same(first.record(), before, "record afterwards")

    def test_a_second_reservation_never_takes_a_batch_over(self) -> None:
        worker = self.worker(1)
        worker.doubt(0, Reason.CANCELLED)
        worker.release(closed=True)
        before = worker.record()
        same((before.fence.held, before.fence.closed), (False, True), "fence")
        same(self.reserve(self.open(), self.manifest(1)).record, before, "its record")
        same(worker.record(), before, "record afterwards")

    def test_of_racing_reservations_exactly_one_is_fresh_and_all_get_its_record(self) -> None:
        journals = [self.open(), self.open()]
        manifests = [self.manifest(count) for count in range(1, 9)]
        with ThreadPoolExecutor(len(manifests)) as threads:
            racing = [
                threads.submit(self.reserve, journals[count % 2], manifest)
                for count, manifest in enumerate(manifests)
            ]
            found = [future.result() for future in racing]
        winners = [manifest for manifest, won in zip(manifests, found, strict=True) if won.fresh]
        same(len(winners), 1, "fresh reservations")
        same({won.record.manifest for won in found}, {winners[0]}, "manifests")
        same(len({won.record.fence.owner for won in found}), 1, "owners")

    def test_the_payload_of_a_batch_comes_back(self) -> None:
        journal = self.open()
        manifest = replace(self.manifest(1), payload=bytes(range(256)))
        self.reserve(journal, manifest)
        record = self.load(self.reopen(journal), manifest.key)
        same(record.manifest.payload if record else None, bytes(range(256)))

    def test_two_equal_calls_in_one_batch_have_slots_of_their_own(self) -> None:
        twin = specs(1)[0]
        worker = self.worker(calls=(twin, replace(twin, index=1)))
        worker.run(1, "second")
        same([slot.state for slot in worker.record().slots], [SlotState.RESERVED, SlotState.SUCCEEDED])
