"""Journals that are broken on purpose: for each of them, the contract has a test that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import pytest
from typing_extensions import override

from toolslot._domain._identity import Owner
from toolslot._domain._slot import BatchHistory, BatchKey
from toolslot._domain._state import AppendRow, DropRun, NewBatch, PutAlias, PutEffect, PutFence, Write
from toolslot._errors import JournalError, ToolslotError
from toolslot.journal import BatchState, Journal, MemoryJournal, MemoryStore, Operation, OwnerState
from toolslot.testing import JournalContract

T = TypeVar("T")


class Forgetful(MemoryStore):
    """Acknowledges every tenth row without keeping it."""

    rows = 0

    @override
    def apply(self, write: Write) -> None:
        self.rows += isinstance(write, AppendRow)
        if not isinstance(write, AppendRow) or self.rows % 10:
            super().apply(write)


class TellingThatAllAreDead(MemoryStore):
    """Lets every batch be taken."""

    @override
    def owner_state(self, owner: Owner) -> OwnerState:
        return OwnerState.DEAD


class Upserting(MemoryStore):
    """Keeps one row of each kind, the last one."""

    @override
    def apply(self, write: Write) -> None:
        if not isinstance(write, AppendRow):
            super().apply(write)
            return
        old = self.batches[write.key]
        rows = [row for index in range(old.size) for row in old.rows(index)]
        others = [row for row in rows if (row.index, type(row)) != (write.row.index, type(write.row))]
        self.batches[write.key] = BatchState(old.manifest, old.fence, old.tenures, [*others, write.row])


class WithoutTenures(MemoryStore):
    """Replaces the owner and forgets the one before."""

    @override
    def apply(self, write: Write) -> None:
        if isinstance(write, PutFence) and write.tenure is not None:
            self.batches[write.key].tenures = ()
        super().apply(write)


class WithoutTombstones(MemoryStore):
    """Deletes a run so well that it looks new."""

    @override
    def apply(self, write: Write) -> None:
        super().apply(write)
        if isinstance(write, DropRun):
            self.tombstones.clear()


class WithTombstonesOfRuns(MemoryStore):
    """Forgets a run for ever, and not the batches that it had."""

    @override
    def forgotten(self, key: BatchKey, lineage: str | None = None) -> bool:
        return any(run_id == key.run_id for _, run_id, _ in self.tombstones)


class PurgingByPrefix(MemoryStore):
    """Purges the runs whose names begin alike, too."""

    @override
    def apply(self, write: Write) -> None:
        super().apply(write)
        if isinstance(write, DropRun):
            for run in {key.run_id for key in self.batches if key.run_id.startswith(write.run_id)}:
                super().apply(replace(write, run_id=run))


class WithoutAliases(MemoryStore):
    """Adopts, and does not remember it."""

    @override
    def apply(self, write: Write) -> None:
        if not isinstance(write, PutAlias):
            super().apply(write)


class LastPayloadWins(MemoryStore):
    """Overwrites the payload of a run."""

    @override
    def apply(self, write: Write) -> None:
        super().apply(write)
        if isinstance(write, NewBatch) and write.run_payload is not None:
            self.payloads[write.manifest.key.run_id] = write.run_payload


class WithoutEffects(MemoryStore):
    """Writes start marks, and not what was claimed with them."""

    @override
    def apply(self, write: Write) -> None:
        if not isinstance(write, PutEffect):
            super().apply(write)


class KeepingTheFirstHolder(MemoryStore):
    """Inserts an effect, and replaces none."""

    @override
    def apply(self, write: Write) -> None:
        if not isinstance(write, PutEffect) or write.effect.digest not in self.claimed:
            super().apply(write)


class PurgingEffects(MemoryStore):
    """Forgets with a run what its calls had."""

    @override
    def apply(self, write: Write) -> None:
        if isinstance(write, DropRun):
            for each in self.effects_of(write.run_id):
                del self.claimed[each.digest]
        super().apply(write)


class Truncating(MemoryStore):
    """Cuts what is longer than 256 KiB."""

    @override
    def apply(self, write: Write) -> None:
        if isinstance(write, NewBatch):
            manifest = write.manifest
            payload = manifest.payload[: 256 * 1024] if manifest.payload is not None else None
            write = replace(write, manifest=replace(manifest, payload=payload))
        super().apply(write)


class LosingSurrogates(MemoryJournal):
    """Stores text as UTF-8, leaving out what that cannot hold."""

    @override
    def keys(self, run_id: str | None = None) -> Future[tuple[BatchKey, ...]]:
        found = super().keys(run_id).result()
        future: Future[tuple[BatchKey, ...]] = Future()
        future.set_result(
            tuple(BatchKey(*(part.encode(errors="ignore").decode() for part in key)) for key in found)
        )
        return future


class Sorting(MemoryJournal):
    """Tells of many batches in an order of its own, and of each once."""

    @override
    def histories(self, keys: Sequence[BatchKey]) -> Future[tuple[BatchHistory | JournalError | None, ...]]:
        return super().histories(sorted(set(keys)))


class RollingBackRefusals(MemoryJournal):
    """Takes the refusal of an operation for its failure, and writes nothing."""

    @override
    def submit(self, operation: Operation[T]) -> Future[T]:
        refusal = operation.change(self._store).refusal
        if refusal is None:
            return super().submit(operation)
        future: Future[T] = Future()
        future.set_exception(refusal)
        return future


class FailingTogether(MemoryJournal):
    """Once an operation has failed, the next one fails with it."""

    _failed: Exception | None = None

    @override
    def submit(self, operation: Operation[T]) -> Future[T]:
        future = super().submit(operation)
        error, self._failed = self._failed, None
        if future.exception() is not None:
            self._failed = RuntimeError("the group failed")
        elif error is not None:
            failed: Future[T] = Future()
            failed.set_exception(error)
            return failed
        return future


class WritingLate(MemoryJournal):
    """Answers first and writes at the next occasion."""

    _pending: Callable[[], object] | None = None

    @override
    def submit(self, operation: Operation[T]) -> Future[T]:
        if self._pending is not None:
            self._pending()
        self._pending = lambda: super(WritingLate, self).submit(operation)
        future: Future[T] = Future()
        try:
            future.set_result(operation.change(self._store).result)
        except Exception as error:
            future.set_exception(error)
        return future


class Undying(MemoryJournal):
    """Its owners stay alive when it is closed."""

    @override
    def close(self) -> None:
        self._mine.clear()
        super().close()


class AlwaysOpen(MemoryJournal):
    """Takes work after it was closed."""

    @override
    def _check_open(self) -> None:
        return


class Kit(JournalContract):
    """The contract, over any store and journal. Not collected: its name does not begin with Test."""

    make_store: type[MemoryStore] = MemoryStore
    journal: type[MemoryJournal] = MemoryJournal

    @cached_property
    def store(self) -> MemoryStore:
        return self.make_store()

    @override
    def make_journal(self) -> Journal:
        return self.journal(self.store)


class Unshared(Kit):
    """Every opener has a storage of its own."""

    @override
    def make_journal(self) -> Journal:
        return MemoryJournal()


Broken = type[MemoryStore] | type[MemoryJournal] | type[Kit]
CONTROLS: list[tuple[Broken, Callable[[Kit], None]]] = [
    (Forgetful, Kit.test_everything_acknowledged_to_many_threads_is_in_the_record),
    (Forgetful, Kit.test_many_batches_are_written_at_once),
    (Upserting, Kit.test_work_handed_in_without_waiting_is_done_in_its_order),
    (Upserting, Kit.test_of_many_results_of_one_call_exactly_one_counts),
    (WithoutTenures, Kit.test_every_tenure_is_kept),
    (WithoutTombstones, Kit.test_case_18_a_purged_run_is_refused_and_never_looks_new),
    (WithoutTombstones, Kit.test_a_purged_response_is_refused_under_another_key_too),
    (WithTombstonesOfRuns, Kit.test_a_later_batch_of_a_purged_run_is_taken),
    (PurgingByPrefix, Kit.test_other_runs_are_untouched),
    (WithoutAliases, Kit.test_an_adopting_key_leads_to_the_slots_it_adopted),
    (LastPayloadWins, Kit.test_a_runs_first_payload_wins),
    (WithoutEffects, Kit.test_who_claims_what_a_living_call_has_under_way_sees_that_call_and_starts_nothing),
    (WithoutEffects, Kit.test_of_two_claims_in_one_group_commit_one_wins),
    (WithoutEffects, Kit.test_of_claims_that_race_through_several_openers_exactly_one_wins),
    (WithoutEffects, Kit.test_it_is_known_to_journals_that_are_opened_anew),
    (KeepingTheFirstHolder, Kit.test_what_is_unknown_runs_again_by_policy),
    (KeepingTheFirstHolder, Kit.test_a_forgotten_effect_is_had_again_with_another_idempotency_key_each_time),
    (PurgingEffects, Kit.test_what_was_done_is_known_after_a_purge_and_its_result_is_not),
    (TellingThatAllAreDead, Kit.test_what_a_living_call_has_under_way_is_not_forgotten),
    (Truncating, lambda kit: kit.test_reservations_of_any_size_come_back(256 * 1024 + 1)),
    (LosingSurrogates, lambda kit: kit.test_odd_run_and_batch_ids_are_ids_like_others("\ud800")),
    (LosingSurrogates, Kit.test_odd_ids_are_never_mistaken_for_one_another),
    (RollingBackRefusals, Kit.test_a_second_result_is_only_evidence),
    (RollingBackRefusals, Kit.test_case_24_and_25_a_result_from_before_a_take_over_changes_no_row),
    (FailingTogether, Kit.test_a_failing_operation_fails_alone),
    (WritingLate, Kit.test_what_a_future_answered_survives_the_death_of_its_opener),
    (WritingLate, Kit.test_what_a_future_answered_is_seen_by_others_at_once),
    (
        TellingThatAllAreDead,
        lambda kit: kit.test_only_force_takes_a_batch_from_an_owner_that_lives(force=False),
    ),
    (TellingThatAllAreDead, Kit.test_a_record_tells_of_its_owner_however_it_is_had),
    (Sorting, Kit.test_many_are_told_at_once_as_each_by_itself),
    (Undying, Kit.test_the_owners_of_a_dead_opener_are_dead),
    (AlwaysOpen, lambda kit: kit.test_a_closed_journal_takes_no_more_work(lambda journal: journal.keys())),
    (Unshared, Kit.test_another_opener_sees_the_reservation),
    (Unshared, Kit.test_of_racing_reservations_exactly_one_is_fresh_and_all_get_its_record),
]


def kit(broken: Broken) -> Kit:
    if issubclass(broken, Kit):
        return broken()
    made = Kit()
    if issubclass(broken, MemoryStore):
        made.make_store = broken
    else:
        made.journal = broken
    return made


@pytest.mark.parametrize(
    ("broken", "check"),
    CONTROLS,
    ids=[f"{broken.__name__}-{number}" for number, (broken, _) in enumerate(CONTROLS)],
)
def test_case_31_the_contract_catches_a_broken_journal(broken: Broken, check: Callable[[Kit], None]) -> None:
    check(kit(Kit))
    with pytest.raises((AssertionError, ToolslotError, RuntimeError)):
        check(kit(broken))
