"""Reserved batches on a given journal, to write rows into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from toolslot._domain._identity import Owner
from toolslot._domain._slot import BatchKey, Manifest
from toolslot.journal import Journal, Reserve
from toolslot.testing import FakeClock
from toolslot.testing._kit import specs
from toolslot.testing._worker import Worker, do

CLOCK = FakeClock(step=1.0)


def owner_of(journal: Journal, token: str = "owner") -> Owner:
    return Owner(process=journal.process, token=token)


def manifest(
    count: int = 2, *, run: str = "run", batch: str = "batch", lineage: str | None = None
) -> Manifest:
    return Manifest(
        key=BatchKey(run, batch), specs=specs(count), created=CLOCK(), adapter="test", lineage=lineage
    )


def reserving(journal: Journal, made: Manifest) -> Reserve:
    return Reserve(manifest=made, owner=owner_of(journal), at=CLOCK())


def reserve(
    journal: Journal, count: int = 2, *, run: str = "run", batch: str = "batch", lineage: str | None = None
) -> Worker:
    """The owner of a batch that was reserved just now."""
    return working(journal, manifest(count, run=run, batch=batch, lineage=lineage))


def working(journal: Journal, made: Manifest) -> Worker:
    reserved = do(journal, reserving(journal, made))
    return Worker(
        journal=journal,
        key=reserved.key,
        owner=reserved.record.fence.owner,
        epoch=reserved.record.fence.epoch,
        clock=CLOCK,
    )


def with_args(made: Manifest, size: int) -> Manifest:
    """The manifest with arguments of so many bytes for each call."""
    return replace(
        made, specs=tuple(replace(spec, args=replace(spec.args, data=b"a" * size)) for spec in made.specs)
    )


def database(root: Path) -> Path:
    return root / "db" / "cache.db"


def log_of(root: Path) -> Path:
    """The database's write-ahead log."""
    return database(root).with_name("cache.db-wal")


Opener = Callable[[], Journal]
