"""The contract of ownership: epochs, take-overs, letting go, and who is alive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from toolslot._domain._slot import Handover, Reason, SlotState
from toolslot._errors import Fenced
from toolslot.journal import OwnerState, Release, Reserve, TakeOver
from toolslot.testing._checks import cases, raises, same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import PATIENCE, Worker, do


class TakeOverContract(JournalKit):
    """TakeOver and Release."""

    def _take(self, worker: Worker, token: str, *, expected: int | None = None) -> TakeOver:
        return TakeOver(
            key=worker.key,
            owner=replace(worker.owner, token=token),
            expected_epoch=worker.epoch if expected is None else expected,
            at=self.clock(),
            why=f"{token} wants it",
        )

    def test_what_the_old_owner_left_running_is_unknown_and_nothing_else_changes(self) -> None:
        worker = self.worker(5)
        worker.start(1)
        worker.start(2)
        worker.write(worker.paused(2))
        worker.run(3)
        worker.start(4)
        before = worker.record().slots
        later = worker.succeed(self.open(), self.owner(worker.journal))
        after = later.record().slots
        for index in (1, 4):
            slot = after[index]
            same((slot.state, slot.reason), (SlotState.UNKNOWN, Reason.OWNER_DIED), f"call {index}")
            same((slot.attempt, slot.epoch, slot.version), (1, 2, 2), f"call {index}")
        same([after[index] for index in (0, 2, 3)], [before[index] for index in (0, 2, 3)], "the others")

    def test_the_taker_gets_the_record_as_it_is_then(self) -> None:
        worker = self.worker(3)
        worker.start(1)
        record = do(worker.journal, self._take(worker, "taker"))
        same(record, worker.record(), "record")

    def test_every_tenure_is_kept(self) -> None:
        worker = self.worker(1)
        journal = self.open()
        second = worker.succeed(journal, self.owner(journal))
        third = second.succeed(worker.journal, self.owner(worker.journal))
        record = self.worker(journal=self.reopen(journal)).record()
        owners = [worker.owner, second.owner, third.owner]
        same([tenure.owner for tenure in record.tenures], owners, "owners")
        same([tenure.epoch for tenure in record.tenures], [1, 2, 3], "epochs")
        same([tenure.why for tenure in record.tenures[1:]], ["took it over"] * 2, "why")
        same((record.fence.epoch, record.fence.owner), (3, third.owner), "fence")

    def test_every_tenure_says_how_it_came_about(self) -> None:
        worker = self.worker(1)
        second = worker.succeed(worker.journal, self.owner(worker.journal))
        second.release()
        third = second.succeed(worker.journal, self.owner(worker.journal))
        fourth = third.succeed(worker.journal, self.owner(worker.journal), force=True)
        record = fourth.through(self.reopen(worker.journal)).record()
        how = [Handover.RESERVED, Handover.DIED, Handover.LET_GO, Handover.FORCED]
        same([tenure.how for tenure in record.tenures], how, "how")

    def test_every_tenure_keeps_its_trace(self) -> None:
        journal, owner = self.open(), self.owner
        manifest = self.manifest(1)
        do(journal, Reserve(manifest=manifest, owner=owner(journal), at=self.clock(), trace="first"))
        for epoch, trace in ((1, "second"), (2, None)):
            taken = TakeOver(
                key=manifest.key,
                owner=owner(journal),
                expected_epoch=epoch,
                at=self.clock(),
                why="took it over",
                trace=trace,
            )
            do(journal, taken)
        record = self.worker(journal=self.reopen(journal)).record()
        same([tenure.trace for tenure in record.tenures], ["first", "second", None], "traces")

    def test_a_taker_who_saw_an_old_epoch_changes_nothing_and_sees_the_new_owner(self) -> None:
        worker = self.worker(1)
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        later.start(0)
        before = later.record()
        same(do(worker.journal, self._take(worker, "late")), before, "what the taker gets")
        same(later.record(), before, "record")

    def test_of_racing_takers_exactly_one_wins_and_the_others_see_it(self) -> None:
        worker = self.worker(3)
        worker.start(0)
        journals = [self.open(), self.open()]
        takers = [self._take(worker, f"taker {number}") for number in range(8)]
        with ThreadPoolExecutor(len(takers)) as threads:
            racing = [threads.submit(do, journals[n % 2], taker) for n, taker in enumerate(takers)]
            records = [future.result() for future in racing]
        same(len({record.fence.owner for record in records}), 1, "owners")
        same({record.fence.epoch for record in records}, {2}, "epochs")
        same(worker.record().fence, records[0].fence, "fence")
        same(len(worker.record().tenures), 2, "tenures")
        same(worker.slot(0).version, 2, "version of the call that ran")

    def test_a_batch_taken_by_force_says_so(self) -> None:
        worker = self.worker(1)
        worker.start(0)
        later = worker.succeed(worker.journal, self.owner(worker.journal), force=True)
        same(later.slot(0).reason, Reason.TAKEN_OVER, "reason")
        same(later.record().tenures[-1].why, "took it over", "why")

    def test_a_batch_that_was_let_go_can_be_taken(self) -> None:
        worker = self.worker(2)
        worker.run(0)
        worker.release()
        same(worker.record().fence.held, False, "held")
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        fence = later.record().fence
        same((fence.epoch, fence.owner, fence.held), (2, later.owner, True), "fence")
        same(later.run(1).state, SlotState.SUCCEEDED, "state")

    def test_letting_go_leaves_the_calls_as_they_are(self) -> None:
        worker = self.worker(2)
        worker.start(0)
        before = worker.record()
        worker.release()
        same(worker.record(), replace(before, fence=replace(before.fence, held=False)), "record")

    @cases("closed", {"closed": True, "let go": False})
    def test_letting_go_twice_changes_nothing_more(self, closed: bool) -> None:
        worker = self.worker(1)
        worker.release(closed=closed)
        before = worker.record()
        worker.release(closed=closed)
        same(worker.record(), before, "record")

    def test_a_closed_batch_stays_closed(self) -> None:
        worker = self.worker(1)
        worker.release(closed=True)
        worker.release(closed=False)
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        same(later.record().fence.closed, True, "closed")
        later.release(closed=False)
        same(later.record().fence.closed, True, "closed")

    def test_an_old_owner_cannot_let_go_or_close_what_was_taken_over(self) -> None:
        worker = self.worker(1)
        later = worker.succeed(worker.journal, self.owner(worker.journal))
        before = later.record()
        for closed in (False, True):
            with raises(Fenced):
                do(worker.journal, Release(key=worker.key, epoch=worker.epoch, closed=closed))
        same(later.record(), before, "record")


class OwnerStateContract(JournalKit):
    """owner_state, enlist and retire."""

    def test_an_enlisted_owner_is_alive_to_everybody(self) -> None:
        journal, other = self.open(), self.open()
        owner = self.owner(journal)
        journal.enlist(owner)
        same((journal.owner_state(owner), other.owner_state(owner)), (OwnerState.ALIVE, OwnerState.ALIVE))

    def test_an_owner_that_retired_is_dead(self) -> None:
        journal = self.open()
        owner, colleague = self.owner(journal), self.owner(journal)
        journal.enlist(owner)
        journal.enlist(colleague)
        journal.retire(owner)
        same(journal.owner_state(owner), OwnerState.DEAD, "the one that retired")
        same(journal.owner_state(colleague), OwnerState.ALIVE, "its colleague")

    def test_retiring_twice_is_harmless(self) -> None:
        journal = self.open()
        owner = self.owner(journal)
        journal.enlist(owner)
        journal.retire(owner)
        journal.retire(owner)
        same(journal.owner_state(owner), OwnerState.DEAD)

    def test_the_owners_of_a_dead_opener_are_dead(self) -> None:
        doomed, survivor = self.open(), self.open()
        owner, mine = self.owner(doomed), self.owner(survivor)
        doomed.enlist(owner)
        survivor.enlist(mine)
        self.die(doomed)
        same(survivor.owner_state(owner), OwnerState.DEAD, "the dead one's owner")
        same(survivor.owner_state(mine), OwnerState.ALIVE, "the survivor's owner")

    def test_what_a_dead_owner_left_can_be_taken_over(self) -> None:
        worker = self.worker(2)
        worker.journal.enlist(worker.owner)
        worker.run(0)
        worker.start(1)
        self.die(worker.journal)
        survivor = self.open()
        later = worker.succeed(survivor, self.owner(survivor))
        states = [slot.state for slot in later.record().slots]
        same(states, [SlotState.SUCCEEDED, SlotState.UNKNOWN], "states")

    def test_the_owner_in_a_record_is_the_one_that_reserved(self) -> None:
        worker = self.worker(1)
        journal = self.open()
        worker.journal.enlist(worker.owner)
        record = journal.load(worker.key).result(PATIENCE)
        owner = record.fence.owner if record else None
        same(owner, worker.owner, "owner")
        same(journal.owner_state(worker.owner), OwnerState.ALIVE, "state")
