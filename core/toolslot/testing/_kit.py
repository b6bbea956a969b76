"""What the tests of the contract have in common: openers over one storage, and reservations on them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from toolslot._domain._identity import Owner
from toolslot._domain._slot import BatchKey, BatchRecord, Manifest, SlotSpec
from toolslot.journal import Adopt, Journal, Reservation, Reserve
from toolslot.testing._checks import Metafunc, generate
from toolslot.testing._clock import FakeClock
from toolslot.testing._worker import PATIENCE, Worker, do, text

T = TypeVar("T")


def specs(count: int, *, idempotent: bool = False) -> tuple[SlotSpec, ...]:
    """So many different calls of a tool `pay`."""
    return tuple(
        SlotSpec(
            index=index,
            tool="pay",
            call_id=f"call_{index}",
            digest=f"{index:064x}",
            args=text(f'{{"amount": {index}}}'),
            idempotent=idempotent,
        )
        for index in range(count)
    )


class JournalKit:
    """The hooks a back end fills in, and the helpers its tests use. See `JournalContract`."""

    def make_journal(self) -> Journal:
        raise NotImplementedError(
            f"{type(self).__name__} must say how a journal is opened: override make_journal()."
        )

    def die(self, journal: Journal) -> None:
        journal.close()

    @cached_property
    def _opened(self) -> list[Journal]:
        return []

    @cached_property
    def clock(self) -> FakeClock:
        """Gives another time at every call, so that no two rows are equal by accident."""
        return FakeClock(step=1.0)

    def teardown_method(self) -> None:
        """Closes every journal the test opened. Override it to drop the storage, and call it first."""
        for journal in self._opened:
            journal.close()

    def pytest_generate_tests(self, metafunc: Metafunc) -> None:
        generate(metafunc)

    # --- openers ------------------------------------------------------------------------------------------

    def open(self) -> Journal:
        """One more opener over the storage of this test; closed when the test is over."""
        journal = self.make_journal()
        self._opened.append(journal)
        return journal

    def reopen(self, journal: Journal) -> Journal:
        """Close it, as a process that ends well does, and open the storage again."""
        journal.close()
        return self.open()

    def owner(self, journal: Journal) -> Owner:
        """A new owner in that opener's process. It is not enlisted."""
        return Owner(process=journal.process, token=f"owner-{self.clock():.0f}")

    # --- reservations -------------------------------------------------------------------------------------

    def manifest(
        self, count: int = 2, *, run: str = "run", batch: str = "batch", lineage: str | None = None
    ) -> Manifest:
        key = BatchKey(run, batch)
        return Manifest(key=key, specs=specs(count), created=self.clock(), adapter="test", lineage=lineage)

    def reserve(
        self,
        journal: Journal,
        manifest: Manifest,
        *,
        owner: Owner | None = None,
        adopt: Adopt = Adopt.UNFINISHED,
        run_payload: bytes | None = None,
    ) -> Reservation:
        return do(
            journal,
            Reserve(
                manifest=manifest,
                owner=owner if owner is not None else self.owner(journal),
                at=self.clock(),
                adopt=adopt,
                run_payload=run_payload,
            ),
        )

    def worker(
        self,
        count: int = 2,
        *,
        run: str = "run",
        batch: str = "batch",
        lineage: str | None = None,
        idempotent: bool = False,
        calls: tuple[SlotSpec, ...] | None = None,
        journal: Journal | None = None,
    ) -> Worker:
        """The owner of a batch that was reserved just now, through an opener of its own unless one is given."""
        journal = journal if journal is not None else self.open()
        owner = self.owner(journal)
        manifest = self.manifest(run=run, batch=batch, lineage=lineage)
        calls = calls if calls is not None else specs(count, idempotent=idempotent)
        manifest = replace(manifest, specs=calls)
        reservation = self.reserve(journal, manifest, owner=owner)
        return Worker(
            journal=journal,
            key=reservation.key,
            owner=owner,
            epoch=reservation.record.fence.epoch,
            clock=self.clock,
        )

    def load(self, journal: Journal, key: BatchKey) -> BatchRecord | None:
        return journal.load(key).result(PATIENCE)
