"""Which batches are worked on in this process, by journal, so that all who use one batch share one `LiveBatch`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import replace
from weakref import WeakKeyDictionary

from toolslot._batch._active import Active
from toolslot._batch._ownership import LiveBatch
from toolslot._domain._port import Journal
from toolslot._domain._slot import BatchKey


class Registry:
    """The live batches of one journal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[BatchKey, LiveBatch] = {}

    def attach(
        self,
        key: BatchKey,
        user: object,
        make: Callable[[], LiveBatch],
        meet: Callable[[LiveBatch], None],
    ) -> LiveBatch:
        """The live batch, with the user among those who have it open. Its `opener`, for whom it was made, must open it.

        `meet` is told of a batch before that one knows of the user, who may be interrupted at any line and must then detach from it.
        """
        with self._lock:
            live = self._live.get(key)
            if live is not None:
                meet(live)
                if live.attach(user):
                    return live
            live = make()
            live.opener = user
            live.on_idle = lambda idle: self._forget(key, idle)
            meet(live)
            live.attach(user)
            self._live[key] = live
            return live

    def at_work(self, key: BatchKey, index: int) -> Active | None:
        """The attempt on this call that is under way in this process."""
        with self._lock:
            live = self._live.get(key)
        return None if live is None else live.active.get(index)

    def _forget(self, key: BatchKey, idle: LiveBatch) -> None:
        with self._lock:
            if self._live.get(key) is idle:
                del self._live[key]

    def drain(self, timeout: float | None) -> bool:
        """Wait until no call runs in any batch of this journal; whether that came to pass within `timeout` seconds."""
        with self._lock:
            waiting = [active.done() for live in self._live.values() for active in live.running()]
        return not wait(waiting, timeout).not_done

    def forget(self) -> None:
        """Forget all: in a forked child, the batches are worked on by the parent.

        Code that forked inside a call goes on in the child, too. It must change nothing there: what it writes is fenced.
        """
        self._lock = threading.Lock()
        for live in self._live.values():
            live.owner = replace(live.owner, token=f"{live.owner.token}-forked")
            live.lock = threading.Lock()  # a thread that is not here may have held it
            for active in live.active.values():
                active.after_fork(live.lock)
        self._live = {}

    def __len__(self) -> int:
        return len(self._live)


_lock = threading.Lock()
_registries: WeakKeyDictionary[Journal, Registry] = WeakKeyDictionary()


def registry_of(journal: Journal) -> Registry:
    """The journal's registry, one per process."""
    with _lock:
        registry = _registries.get(journal)
        if registry is None:
            registry = _registries[journal] = Registry()
        return registry


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not here may have held it
    for registry in _registries.values():
        registry.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
