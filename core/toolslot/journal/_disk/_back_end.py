"""What the journal's session does not know of a journal in a directory."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial

from toolslot._domain._identity import Owner, OwnerState, ProcessIdentity
from toolslot.journal._disk import _commit_lock, _owner_lock
from toolslot.journal._disk._cache import diskcache
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._filesystem import check, locks_are_shared
from toolslot.journal._disk._options import Options
from toolslot.journal._disk._place import Place, prepare
from toolslot.journal._disk._read_store import ReadStore
from toolslot.journal._disk._store import Store
from toolslot.journal._process import this_process
from toolslot.journal._queue import _store as queue
from toolslot.journal._queue._processes import members

members.in_child(_commit_lock.forget_after_fork)
members.in_child(_owner_lock.forget_after_fork)


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Under which terms a journal is opened."""

    options: Options
    allow_network: bool = False
    read_only: bool = False
    #: a token of its own lets two journals of one process behave like two processes
    own_identity: bool = False


class Directory:
    """A directory that has a journal, or will have one."""

    def __init__(self, place: Place, terms: Terms) -> None:
        self.place = place
        self.terms = terms

    @property
    def name(self) -> str:
        return str(self.place.root)

    def begin(self) -> tuple[ProcessIdentity, Callable[[], queue.Store]]:
        place, terms = self.place, self.terms
        durable = terms.options.synchronous > 1 and not terms.read_only
        check(place.root, allow_network=terms.allow_network, durable=durable, writes=not terms.read_only)
        if not terms.read_only:
            try:
                prepare(place)
            except OSError as error:
                raise translate(error, str(place.root)) from error
        process = this_process()
        if terms.own_identity:
            process = replace(process, token=secrets.token_hex(8))
        # Its hooks for forks must be there before ours.
        with suppress(ImportError) if terms.read_only else nullcontext():
            diskcache()
        return process, partial(self._open, process)

    def _open(self, process: ProcessIdentity) -> queue.Store:
        place, terms = self.place, self.terms
        look = partial(_state_of, place, process.host)
        if terms.read_only:
            return ReadStore(place, look, terms.options.encryption)
        return Store(place, look, terms.options, process.token)

    def enlisted(self, process: ProcessIdentity, owner: Owner) -> bool | None:
        return None if self.terms.read_only else owner in self.at_work(process)

    def ending(self, process: ProcessIdentity) -> None:
        if self.terms.own_identity:  # to the others this is the death of a process
            for owner in self.at_work(process):
                _owner_lock.retire(self.place.owners, owner)

    def at_work(self, process: ProcessIdentity) -> frozenset[Owner]:
        """The owners of that process that are at work here."""
        return _owner_lock.at_work(self.place.owners, process.token)


def _state_of(place: Place, host: str, owner: Owner) -> OwnerState:
    here = members.enlisted(owner)
    if here is not None:
        return OwnerState.ALIVE if here else OwnerState.DEAD
    if owner.process.host != host and not locks_are_shared(place.root):
        return OwnerState.UNKNOWN
    match _owner_lock.is_dead(place.owners, owner.process.token):
        case None:
            return OwnerState.UNKNOWN
        case dead:
            return OwnerState.DEAD if dead else OwnerState.ALIVE
