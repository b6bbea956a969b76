"""The contract of ownership: epochs, take-overs, letting go, and who is alive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from toolslot._domain._identity import Owner
from toolslot._domain._slot import Handover, Reason, SlotState
from toolslot._errors import Fenced
from toolslot.journal import OwnerState, Release, Reserve, TakeOver
from toolslot.testing._checks import cases, raises, same
from toolslot.testing._kit import JournalKit
from toolslot.testing._worker import PATIENCE, Worker, do, state_of


def take(
    worker: Worker, taker: Owner, *, at: float, expected: int | None = None, force: bool = False
) -> TakeOver:
    return TakeOver(
        key=worker.key,
        owner=taker,
        expected_epoch=worker.epoch if expected is None else expected,
        at=at,
        why=f"{taker.token} wants it",
        force=force,
    )


class TakeOverContract(JournalKit):
    """TakeOver and Release."""

    def _take(self, worker: Worker, token: str) -> TakeOver:
        return take(worker, replace(worker.owner, token=token), at=self.clock())

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
        """Force that was not needed is not told."""
        worker = self.worker(1)
        second = worker.succeed(worker.journal, self.owner(worker.journal))
        second.release()
        third = second.succeed(worker.journal, self.owner(worker.journal))
        third.journal.enlist(third.owner)
        fourth = third.succeed(worker.journal, self.owner(worker.journal), force=True)
        fifth = fourth.succeed(worker.journal, self.owner(worker.journal), force=True)
        third.journal.retire(third.owner)
        record = fifth.through(self.reopen(worker.journal)).record()
        how = [Handover.RESERVED, Handover.DIED, Handover.LET_GO, Handover.FORCED, Handover.DIED]
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
        worker.journal.enlist(worker.owner)
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
    """What is told of owners: enlist, retire, and the state that every record carries."""

    def test_an_enlisted_owner_is_alive_to_everybody(self) -> None:
        journal, other = self.open(), self.open()
        owner = self.owner(journal)
        journal.enlist(owner)
        same((state_of(journal, owner), state_of(other, owner)), (OwnerState.ALIVE, OwnerState.ALIVE))

    def test_an_owner_that_retired_is_dead(self) -> None:
        journal = self.open()
        owner, colleague = self.owner(journal), self.owner(journal)
        journal.enlist(owner)
        journal.enlist(colleague)
        journal.retire(owner)
        same(state_of(journal, owner), OwnerState.DEAD, "the one that retired")
        same(state_of(journal, colleague), OwnerState.ALIVE, "its colleague")

    def test_retiring_twice_is_harmless(self) -> None:
        journal = self.open()
        owner = self.owner(journal)
        journal.enlist(owner)
        journal.retire(owner)
        journal.retire(owner)
        same(state_of(journal, owner), OwnerState.DEAD)

    def test_the_owners_of_a_dead_opener_are_dead(self) -> None:
        doomed, survivor = self.open(), self.open()
        owner, mine = self.owner(doomed), self.owner(survivor)
        doomed.enlist(owner)
        survivor.enlist(mine)
        self.die(doomed)
        same(state_of(survivor, owner), OwnerState.DEAD, "the dead one's owner")
        same(state_of(survivor, mine), OwnerState.ALIVE, "the survivor's owner")

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

    def test_a_record_tells_of_its_owner_however_it_is_had(self) -> None:
        worker, journal = self.worker(1), self.open()
        for state in (OwnerState.ALIVE, OwnerState.DEAD):
            if state is OwnerState.ALIVE:
                worker.journal.enlist(worker.owner)
            else:
                worker.journal.retire(worker.owner)
            history = journal.history(worker.key).result(PATIENCE)
            again = self.reserve(journal, worker.record().manifest)
            late = do(journal, take(worker, self.owner(journal), at=self.clock(), expected=7))
            found = (self.load(journal, worker.key), history and history.record, again.record, late)
            for record in found:
                same(record and (record.fence.owner, record.owner_state), (worker.owner, state), "owner")

    def test_a_reservation_and_a_take_over_tell_that_their_owner_lives(self) -> None:
        journal = self.open()
        first, second = self.owner(journal), self.owner(journal)
        journal.enlist(first)
        journal.enlist(second)
        reserved = self.reserve(journal, self.manifest(1), owner=first)
        same(reserved.record.owner_state, OwnerState.ALIVE, "reserved")
        journal.retire(first)
        worker = Worker(journal=journal, key=reserved.key, owner=first, epoch=1, clock=self.clock)
        taken = do(journal, take(worker, second, at=self.clock()))
        same((taken.fence.owner, taken.owner_state), (second, OwnerState.ALIVE), "taken over")

    @cases("force", {"by force": True, "without force": False})
    def test_only_force_takes_a_batch_from_an_owner_that_lives(self, force: bool) -> None:
        worker, journal = self.worker(2), self.open()
        worker.journal.enlist(worker.owner)
        worker.start(0)
        before = worker.record()
        taker = self.owner(journal)
        record = do(journal, take(worker, taker, at=self.clock(), force=force))
        same(record.fence.owner, taker if force else worker.owner, "owner")
        if not force:
            same((record, worker.record()), (before, before), "record")
            same(worker.finish(0).state, SlotState.SUCCEEDED, "state of the call")
