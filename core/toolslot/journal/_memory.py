"""A journal in memory: the same semantics, gone with the process.

For tests, and for runs that need slots but no recovery.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TypeVar

from typing_extensions import assert_never, override

from toolslot._domain._effect_standing import known
from toolslot._domain._effects import Effect, EffectPage
from toolslot._domain._identity import Owner, OwnerState, ProcessIdentity
from toolslot._domain._operations import Operation
from toolslot._domain._port import Journal, OldRuns
from toolslot._domain._slot import BatchHistory, BatchKey, BatchRecord
from toolslot._domain._state import (
    AppendRow,
    BatchState,
    DropRun,
    NewBatch,
    PutAlias,
    PutEffect,
    PutFence,
    Write,
    history_of,
    record_of,
)
from toolslot._errors import JournalClosed, JournalError
from toolslot.journal._process import this_process

T = TypeVar("T")


class MemoryStore:
    """What several `MemoryJournal`s may share, as several processes share a directory.

    Guarded by one lock.
    """

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.batches: dict[BatchKey, BatchState] = {}
        self.aliases: dict[BatchKey, BatchKey] = {}
        self.lineages: dict[tuple[str, str], BatchKey] = {}
        self.payloads: dict[str, bytes] = {}
        self.purged_runs: set[str] = set()
        #: what was forgotten: ("batch" or "lineage", run id, batch id or lineage)
        self.tombstones: set[tuple[str, str, str]] = set()
        self.alive: set[Owner] = set()
        self.claimed: dict[str, Effect] = {}
        self.journal_id: str = secrets.token_hex(16)

    def state(self, key: BatchKey) -> BatchState | None:
        return self.batches.get(key)

    def alias(self, key: BatchKey) -> BatchKey | None:
        return self.aliases.get(key)

    def owner_state(self, owner: Owner) -> OwnerState:
        return OwnerState.ALIVE if owner in self.alive else OwnerState.DEAD

    def lineage(self, run_id: str, lineage: str) -> BatchKey | None:
        return self.lineages.get((run_id, lineage))

    def purged(self, run_id: str) -> bool:
        return run_id in self.purged_runs

    def holds(self, run_id: str) -> bool:
        return run_id in self.payloads or any(key.run_id == run_id for key in (*self.batches, *self.aliases))

    def outdated(self, run_id: str) -> Sequence[BatchKey]:
        return ()

    def forgotten(self, key: BatchKey, lineage: str | None = None) -> bool:
        batch = ("batch", key.run_id, key.batch_id)
        return batch in self.tombstones or ("lineage", key.run_id, lineage) in self.tombstones

    def effect(self, digest: str) -> Effect | None:
        return self.claimed.get(digest)

    def effects_of(self, run_id: str) -> Sequence[Effect]:
        return [each for each in self.claimed.values() if each.held_in(run_id)]

    def effects(self, cursor: str | None = None) -> EffectPage:
        now = time.time()
        found = tuple(known(self, each, now) for _, each in sorted(self.claimed.items()))
        return EffectPage(effects=found, cursor=None)

    def apply(self, write: Write) -> None:
        match write:
            case NewBatch():
                self._reserve(write)
            case PutFence():
                state = self.batches[write.key]
                state.fence = write.fence
                if write.tenure is not None:
                    state.tenures = (*state.tenures, write.tenure)
            case AppendRow():
                self.batches[write.key].append(write.row, write.fold)
            case PutAlias():
                self.aliases[write.key] = write.target
            case DropRun():
                self._drop(write.run_id)
            case PutEffect():
                self.claimed[write.effect.digest] = write.effect
            case _:
                assert_never(write)

    def _reserve(self, write: NewBatch) -> None:
        manifest = write.manifest
        run_id = manifest.key.run_id
        self.batches[manifest.key] = BatchState(manifest, write.fence, (write.tenure,), slots=write.slots)
        if manifest.lineage is not None:
            self.lineages[run_id, manifest.lineage] = manifest.key
        if write.run_payload is not None:
            self.payloads.setdefault(run_id, write.run_payload)

    def _drop(self, run_id: str) -> None:
        self.purged_runs.add(run_id)
        for kept in (self.batches, self.aliases):
            for key in [key for key in kept if key.run_id == run_id]:
                kept.pop(key)
                self.tombstones.add(("batch", run_id, key.batch_id))
        for pair in [pair for pair in self.lineages if pair[0] == run_id]:
            del self.lineages[pair]
            self.tombstones.add(("lineage", *pair))
        self.payloads.pop(run_id, None)


class MemoryJournal(Journal):
    """A `Journal` whose futures are complete when they are returned.

    Journals over one `MemoryStore` behave like processes over one directory; `close` is the death of one of
    them.
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store if store is not None else MemoryStore()
        self._process = this_process()
        self._mine: set[Owner] = set()
        self._closed = False

    @property
    def location(self) -> str:
        return "memory"

    @property
    def process(self) -> ProcessIdentity:
        return self._process

    @property
    def digest_key(self) -> bytes | None:
        return None

    def submit(self, operation: Operation[T]) -> Future[T]:
        self._check_open()
        future: Future[T] = Future()
        try:
            with self._store.lock:
                change = operation.change(self._store)
                for write in change.writes:
                    self._store.apply(write)
        except Exception as error:
            future.set_exception(error)
            return future
        if change.refusal is not None:
            future.set_exception(change.refusal)
        else:
            future.set_result(change.result)
        return future

    def load(self, key: BatchKey) -> Future[BatchRecord | None]:
        self._check_open()
        store = self._store
        with store.lock:
            state = store.state(store.alias(key) or key)
            return _done(record_of(store, state) if state is not None else None)

    def history(self, key: BatchKey) -> Future[BatchHistory | None]:
        self._check_open()
        store = self._store
        with store.lock:
            state = store.state(store.alias(key) or key)
            return _done(history_of(store, state) if state is not None else None)

    def histories(self, keys: Sequence[BatchKey]) -> Future[tuple[BatchHistory | JournalError | None, ...]]:
        return _done(tuple(self.history(key).result() for key in keys))

    def keys(self, run_id: str | None = None) -> Future[tuple[BatchKey, ...]]:
        self._check_open()
        with self._store.lock:
            return _done(tuple(key for key in self._store.batches if run_id in (None, key.run_id)))

    def old_runs(self, before: float, cursor: str | None = None) -> Future[OldRuns]:
        self._check_open()
        with self._store.lock:
            latest = {key.run_id: state.manifest.created for key, state in self._store.batches.items()}
        found = tuple(run_id for run_id, created in latest.items() if created < before)
        return _done(OldRuns(run_ids=found, cursor=None))

    def run_payload(self, run_id: str) -> Future[bytes | None]:
        self._check_open()
        with self._store.lock:
            return _done(self._store.payloads.get(run_id))

    def effects(self, cursor: str | None = None) -> Future[EffectPage]:
        self._check_open()
        with self._store.lock:
            return _done(self._store.effects(cursor))

    def enlist(self, owner: Owner) -> None:
        self._check_open()
        with self._store.lock:
            self._store.alive.add(owner)
            self._mine.add(owner)

    def retire(self, owner: Owner) -> None:
        with self._store.lock:
            self._store.alive.discard(owner)
            self._mine.discard(owner)

    def close(self) -> None:
        with self._store.lock:
            self._store.alive -= self._mine
            self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise JournalClosed(
                "this MemoryJournal was closed. Its store lives on in the journals that share it."
            )

    @override
    def __repr__(self) -> str:
        return (
            f"<MemoryJournal batches={len(self._store.batches)} runs_purged={len(self._store.purged_runs)}>"
        )


def _done(value: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(value)
    return future
