"""Who may run now: limits for a batch, a tool (and its rate), and the process, all at once.

One arbiter for the process grants permits to sync and async callers alike. It decides in memory under one lock and never runs user code;
waiting is the caller's business. Journal writes never pass through here, so they cannot wait behind calls.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass

from toolslot._domain._policy import Rate

#: the permit under which the current code runs; children of that code borrow from it
current: ContextVar[Permit | None] = ContextVar("toolslot_permit", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What one call needs. `batch` and `tool` are compared by equality; None limits are off."""

    batch: Hashable
    tool: Hashable
    batch_limit: int | None = None
    tool_limit: int | None = None
    process_limit: int | None = None
    rate: Rate | None = None


@dataclass(eq=False, slots=True)
class Permit:
    """The right to run one call. A permit whose code runs calls of its own lends itself to one of them at a time."""

    demand: Demand
    parent: Permit | None
    #: whose place in the process this one uses, and who uses ours
    lender: Permit | None = None
    borrower: Permit | None = None
    #: children that wait or run: the holder itself is then waiting for them
    children: int = 0
    released: bool = False
    #: of a holder that outlived its timeout or its caller: which call it is
    overstayer: str | None = None

    def ancestors(self) -> Iterator[Permit]:
        permit = self.parent
        while permit is not None:
            yield permit
            permit = permit.parent


class Ticket:
    """A place in the queue. `permit` is there once it is granted.

    `granted()` completes with it, or with None when the waiter should look again how long it may have to wait.
    """

    __slots__ = ("_granted", "_lock", "demand", "parent", "permit")

    def __init__(self, demand: Demand, parent: Permit | None, lock: threading.Lock) -> None:
        self.demand: Demand = demand
        self.parent: Permit | None = parent
        self.permit: Permit | None = None
        self._lock = lock
        self._granted: Future[Permit | None] | None = None  # made when somebody has to wait

    def granted(self) -> Future[Permit | None]:
        with self._lock:
            granted = self._granted or Future()
            if self.permit is None:
                self._granted = granted
            elif self._granted is None:
                granted.set_result(self.permit)  # and not kept: who granted it may be about to tell
            return granted

    def tell(self) -> None:
        """Wake who waits; called outside the lock, for completing a future runs its callbacks."""
        with self._lock:
            granted, self._granted = self._granted, None
        if granted is not None:
            granted.set_result(self.permit)


class Pool:
    """Grants permits. Batches take turns, so a big one does not starve a small one; within a batch, earlier calls go first.

    A call that runs calls of its own (a sub-agent) keeps its permit and lends it to its children, so limits of 1 never dead-lock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """Forget all: in a forked child, those who held or waited for a permit are not there to give it back."""
        self._lock = threading.Lock()
        self._queues: OrderedDict[Hashable, deque[Ticket]] = OrderedDict()
        self._held: set[Permit] = set()
        self._by_batch: dict[Hashable, int] = {}
        self._by_tool: dict[Hashable, set[Permit]] = {}
        self._overstaying: set[Permit] = set()
        self._counted = 0  # permits that count against the process: those not borrowed
        self._starts: dict[Hashable, deque[float]] = {}

    def at_once(self, demand: Demand) -> Permit | None:
        """A permit for a child of the code that runs now, if all limits allow it and no call of the batch waits; else None."""
        parent = _parent()
        with self._lock:
            if demand.batch in self._queues or not self._grantable(demand, parent):
                return None
            if parent is not None:
                parent.children += 1
            return self._grant(demand, parent)

    def request(self, demand: Demand) -> Ticket:
        """Queue for a permit as a child of the code that runs now. Grants at once when all limits allow it."""
        parent = _parent()
        ticket = Ticket(demand, parent, self._lock)
        with self._lock:
            if parent is not None:
                parent.children += 1
            queue = self._queues.setdefault(demand.batch, deque())
            queue.append(ticket)
            # It may be allowed what its elders are not, such as borrowing. If it is not, nothing has changed for them.
            granted = self._scan() if self._grantable(demand, parent) else []
        _hand_out(granted)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Leave the queue; a permit granted meanwhile is given back."""
        with self._lock:
            queue = self._queues.get(ticket.demand.batch)
            waiting = queue is not None and ticket in queue
            if waiting and queue is not None:
                queue.remove(ticket)
                self._forget_empty(ticket.demand.batch)
                if ticket.parent is not None:
                    ticket.parent.children -= 1
            held_back = self._held_back()
        if not waiting and ticket.permit is not None:
            self.release(ticket.permit)
        else:
            _hand_out(held_back)  # it may have been the one that watched the time

    def release(self, permit: Permit) -> None:
        """Give the permit back, once."""
        with self._lock:
            if permit.released or permit not in self._held:  # one that was held before a fork
                return
            permit.released = True
            demand = permit.demand
            self._held.discard(permit)
            self._overstaying.discard(permit)
            self._by_batch[demand.batch] -= 1
            if not self._by_batch[demand.batch]:
                del self._by_batch[demand.batch]
            holders = self._by_tool[demand.tool]
            holders.discard(permit)
            if not holders:
                del self._by_tool[demand.tool]
            # Its place in the process is free, or goes to the child that borrows it and may outlive its parent.
            lender, borrower = permit.lender, permit.borrower
            permit.lender = permit.borrower = None
            if borrower is not None:
                borrower.lender = lender
            if lender is not None:
                lender.borrower = borrower
            if lender is None and borrower is None:
                self._counted -= 1
            if permit.parent is not None:
                permit.parent.children -= 1
            if not self._queues:
                return
            granted = self._scan()
            held_back = self._held_back()
        if granted or held_back:
            _hand_out([*granted, *held_back])

    def poll(self) -> float | None:
        """Grant what has become possible by the passing of time; seconds until the next rate allows something, or None."""
        with self._lock:
            granted = self._scan()
            now = self._clock()
            waits = [
                wait
                for queue in self._queues.values()
                for t in queue
                if (wait := self._rate_wait(t.demand, now)) > 0
            ]
        _hand_out(granted)
        return min(waits, default=None)

    def overstays(self, permit: Permit, name: str) -> None:
        """The permit's holder, which is called so, has outlived its timeout or its caller."""
        with self._lock:
            permit.overstayer = name
            if permit in self._held:
                self._overstaying.add(permit)

    def overstayers(self, ticket: Ticket) -> list[str]:
        """Who keeps the ticket from its permit, if all of them have outlived their timeouts or callers: it may wait for ever."""
        demand = ticket.demand
        with self._lock:
            if not self._overstaying:
                return []
            blocked = [
                holders
                for limit, holders in (
                    (demand.batch_limit, [p for p in self._held if p.demand.batch == demand.batch]),
                    (demand.tool_limit, list(self._by_tool.get(demand.tool, ()))),
                    (demand.process_limit, [p for p in self._held if p.lender is None]),
                )
                if limit is not None and len(holders) >= limit
            ]
            for holders in blocked:
                names = [permit.overstayer for permit in holders if permit.overstayer is not None]
                if len(names) == len(holders):
                    return sorted(names)
        return []

    @property
    def running(self) -> int:
        """Permits held now, threads that overstayed their timeout included."""
        with self._lock:
            return len(self._held)

    def __repr__(self) -> str:
        with self._lock:
            waiting = sum(len(queue) for queue in self._queues.values())
            return f"<Pool running={len(self._held)} waiting={waiting}>"

    # --- decisions; all under the lock ----------------------------------------------------------------------------------

    def _scan(self) -> list[Ticket]:
        """One grant per batch and round, until nothing more is possible."""
        granted: list[Ticket] = []
        progress = True
        while progress and self._queues:
            progress = False
            for batch in list(self._queues):
                ticket = self._first_grantable(self._queues[batch])
                if ticket is None:
                    continue
                self._queues[batch].remove(ticket)
                ticket.permit = self._grant(ticket.demand, ticket.parent)
                granted.append(ticket)
                self._queues.move_to_end(batch)
                self._forget_empty(batch)
                progress = True
        return granted

    def _first_grantable(self, queue: deque[Ticket]) -> Ticket | None:
        limit = queue[0].demand.batch_limit  # the same for all calls of the batch
        if limit is not None and self._by_batch.get(queue[0].demand.batch, 0) >= limit:
            return None
        blocked: set[tuple[Hashable, bool]] = set()
        for ticket in queue:
            kind = (ticket.demand.tool, ticket.parent is not None)
            if kind in blocked:
                continue
            if self._grantable(ticket.demand, ticket.parent):
                return ticket
            if ticket.parent is None:
                blocked.add(kind)  # its siblings of the same tool meet the same limits
        return None

    def _grantable(self, demand: Demand, parent: Permit | None) -> bool:
        if demand.batch_limit is not None and self._by_batch.get(demand.batch, 0) >= demand.batch_limit:
            return False
        if demand.tool_limit is not None and self._tool_holders(demand, parent) >= demand.tool_limit:
            return False
        full = demand.process_limit is not None and self._counted >= demand.process_limit
        if full and not (parent is not None and parent.borrower is None and not parent.released):
            return False
        return demand.rate is None or self._rate_wait(demand, self._clock()) <= 0

    def _tool_holders(self, demand: Demand, parent: Permit | None) -> int:
        """Who counts against the tool's limit.

        For a nested call its own ancestors do not: they wait for it. Neither do holders that wait for children of their own: two chains
        that each hold what the other needs would wait for ever.
        """
        holders = self._by_tool.get(demand.tool)
        if not holders:
            return 0
        if parent is None:
            return len(holders)
        return sum(1 for holder in holders if not holder.children)

    def _held_back(self) -> list[Ticket]:
        """The waiting call whose rate allows it next, if any.

        A call that was held back by another limit set no alarm for its rate, and the end of that limit alone need not let it run.
        """
        if not self._starts or not self._queues:
            return []
        now = self._clock()
        waits = [
            (wait, t)
            for queue in self._queues.values()
            for t in queue
            if (wait := self._rate_wait(t.demand, now)) > 0
        ]
        return [min(waits, key=lambda pair: pair[0])[1]] if waits else []

    def _rate_wait(self, demand: Demand, now: float) -> float:
        rate = demand.rate
        if rate is None:
            return 0.0
        starts = self._starts.get(demand.tool)
        if starts is None or len(starts) < rate.calls:
            return 0.0
        return starts[-rate.calls] + rate.per - now

    def _grant(self, demand: Demand, parent: Permit | None) -> Permit:
        full = demand.process_limit is not None and self._counted >= demand.process_limit
        permit = Permit(demand, parent)
        if full and parent is not None:
            permit.lender, parent.borrower = parent, permit
        else:
            self._counted += 1
        self._held.add(permit)
        self._by_batch[demand.batch] = self._by_batch.get(demand.batch, 0) + 1
        self._by_tool.setdefault(demand.tool, set()).add(permit)
        if demand.rate is not None:
            starts = self._starts.setdefault(demand.tool, deque())
            starts.append(self._clock())
            while len(starts) > demand.rate.calls:
                starts.popleft()
        return permit

    def _forget_empty(self, batch: Hashable) -> None:
        if not self._queues[batch]:
            del self._queues[batch]


def _parent() -> Permit | None:
    """The permit of the code that runs now, or of what it runs in: a background task may outlive the call that began it."""
    parent = current.get()
    while parent is not None and parent.released:
        parent = parent.parent
    return parent


def _hand_out(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        ticket.tell()


_shared = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.forget)


def process_pool() -> Pool:
    """The one pool of this process: limits hold over all executors."""
    return _shared
