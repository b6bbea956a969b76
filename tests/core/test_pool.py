"""Limits hold all at once, turns are taken between batches, and nesting never dead-locks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from toolslot._batch._pool import Demand, Permit, Pool, Ticket, current
from toolslot._domain._policy import Rate


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def enter_permit(permit: Permit) -> Callable[[], None]:
    """Make it the one that calls begun by the current code borrow from; the returned function undoes it."""
    return partial(current.reset, current.set(permit))


def granted(ticket: Ticket) -> bool:
    return ticket.permit is not None


def permit(ticket: Ticket) -> Permit:
    assert ticket.permit is not None
    assert ticket.granted().result(0) is ticket.permit
    return ticket.permit


def test_a_batch_limit_holds_and_the_next_in_line_is_granted_on_release() -> None:
    pool = Pool()
    tickets = [pool.request(Demand(batch="b", tool="t", batch_limit=2)) for _ in range(4)]
    assert [granted(t) for t in tickets] == [True, True, False, False]
    pool.release(permit(tickets[1]))
    assert [granted(t) for t in tickets] == [True, True, True, False]


def test_a_tool_limit_holds_over_batches_and_does_not_hold_other_tools_back() -> None:
    pool = Pool()
    first = pool.request(Demand(batch="a", tool="pay", tool_limit=1))
    second = pool.request(Demand(batch="b", tool="pay", tool_limit=1))
    other = pool.request(Demand(batch="b", tool="read"))
    assert (granted(first), granted(second), granted(other)) == (True, False, True)
    pool.release(permit(first))
    assert granted(second)


def test_a_process_limit_holds_over_batches_and_tools() -> None:
    pool = Pool()
    tickets = [pool.request(Demand(batch=i, tool=i, process_limit=3)) for i in range(5)]
    assert [granted(t) for t in tickets] == [True, True, True, False, False]
    assert pool.running == 3


def test_batches_take_turns_so_a_big_one_does_not_starve_a_small_one() -> None:
    pool = Pool()
    running = pool.request(Demand(batch="big", tool="t", process_limit=1))
    big = [pool.request(Demand(batch="big", tool="t", process_limit=1)) for _ in range(10)]
    small = pool.request(Demand(batch="small", tool="t", process_limit=1))
    pool.release(permit(running))
    pool.release(permit(big[0]))
    assert granted(small)
    assert not granted(big[1])


def test_calls_of_one_batch_are_granted_in_the_order_they_asked() -> None:
    pool = Pool()
    running = pool.request(Demand(batch="b", tool="t", batch_limit=1))
    waiting = [pool.request(Demand(batch="b", tool="t", batch_limit=1)) for _ in range(5)]
    current = permit(running)
    for ticket in waiting:
        pool.release(current)
        current = permit(ticket)


def test_a_nested_call_borrows_its_parents_permit_at_a_limit_of_one() -> None:
    pool = Pool()
    outer = permit(
        pool.request(Demand(batch="outer", tool="agent", batch_limit=1, tool_limit=1, process_limit=1))
    )
    leave = enter_permit(outer)
    inner = [
        pool.request(Demand(batch="inner", tool="t", batch_limit=1, tool_limit=1, process_limit=1))
        for _ in range(3)
    ]
    leave()
    for ticket in inner:
        assert granted(ticket), "one child after the other runs on the parent's permit"
        pool.release(permit(ticket))
    pool.release(outer)
    assert pool.running == 0


def test_children_together_borrow_only_one_permit() -> None:
    pool = Pool()
    outer = permit(pool.request(Demand(batch="outer", tool="agent", process_limit=2)))
    leave = enter_permit(outer)
    inner = [pool.request(Demand(batch="inner", tool="t", process_limit=2)) for _ in range(4)]
    leave()
    assert [granted(t) for t in inner] == [True, True, False, False], "one free place, and the parent's"


def test_a_tool_that_calls_itself_does_not_wait_for_its_own_permit() -> None:
    pool = Pool()
    leaves = []
    for depth in range(5):
        ticket = pool.request(Demand(batch=depth, tool="recursive", tool_limit=1, process_limit=1))
        leaves.append(enter_permit(permit(ticket)))
    for leave in reversed(leaves):
        leave()


def test_two_chains_that_hold_what_the_other_needs_do_not_dead_lock() -> None:
    pool = Pool()
    a = permit(pool.request(Demand(batch="a", tool="x", tool_limit=1)))
    b = permit(pool.request(Demand(batch="b", tool="y", tool_limit=1)))
    leave = enter_permit(a)
    a_child = pool.request(Demand(batch="a1", tool="y", tool_limit=1))
    leave()
    leave = enter_permit(b)
    b_child = pool.request(Demand(batch="b1", tool="x", tool_limit=1))
    leave()
    assert granted(a_child) or granted(b_child)


def test_a_released_parent_lends_nothing() -> None:
    pool = Pool()
    outer = permit(pool.request(Demand(batch="outer", tool="agent", process_limit=1)))
    leave = enter_permit(outer)
    pool.release(outer)
    taken = pool.request(Demand(batch="x", tool="t", process_limit=1))
    late = pool.request(Demand(batch="y", tool="t", process_limit=1))
    leave()
    assert granted(taken)
    assert not granted(late)


def test_a_rate_allows_so_many_starts_in_any_window() -> None:
    clock = Clock()
    pool = Pool(clock)
    demand = Demand(batch="b", tool="t", rate=Rate(2, per=10.0))
    tickets = []
    for moment in (0.0, 4.0):
        clock.now = moment
        tickets.append(pool.request(demand))
    tickets += [pool.request(demand), pool.request(demand)]
    assert [granted(t) for t in tickets] == [True, True, False, False]
    assert pool.poll() == pytest.approx(6.0)
    clock.now = 10.0
    pool.poll()
    assert [granted(t) for t in tickets] == [True, True, True, False]
    clock.now = 13.9
    pool.poll()
    assert not granted(tickets[3])
    clock.now = 14.0
    pool.poll()
    assert granted(tickets[3])


def test_cancelling_a_waiting_ticket_lets_the_next_one_through() -> None:
    pool = Pool()
    running = pool.request(Demand(batch="b", tool="t", batch_limit=1))
    given_up = pool.request(Demand(batch="b", tool="t", batch_limit=1))
    waiting = pool.request(Demand(batch="b", tool="t", batch_limit=1))
    pool.cancel(given_up)
    pool.release(permit(running))
    assert not granted(given_up)
    assert granted(waiting)


def test_cancelling_a_granted_ticket_gives_the_permit_back() -> None:
    pool = Pool()
    ticket = pool.request(Demand(batch="b", tool="t"))
    pool.cancel(ticket)
    assert pool.running == 0


def test_releasing_twice_counts_once() -> None:
    pool = Pool()
    one = permit(pool.request(Demand(batch="b", tool="t", process_limit=2)))
    pool.request(Demand(batch="b", tool="t", process_limit=2))
    pool.release(one)
    pool.release(one)
    assert pool.running == 1
    assert [granted(pool.request(Demand(batch="b", tool="t", process_limit=2))) for _ in range(2)] == [
        True,
        False,
    ]


def test_a_child_that_outlives_its_parent_keeps_the_place_it_borrowed() -> None:
    pool = Pool()
    outer = permit(pool.request(Demand(batch="outer", tool="agent", process_limit=1)))
    leave = enter_permit(outer)
    inner = permit(pool.request(Demand(batch="inner", tool="t", process_limit=1)))
    leave()
    pool.release(outer)
    waiting = pool.request(Demand(batch="x", tool="t", process_limit=1))
    assert not granted(waiting)
    pool.release(inner)
    assert granted(waiting)
    pool.release(permit(waiting))
    assert granted(pool.request(Demand(batch="x", tool="t", process_limit=1)))


def test_a_call_held_back_by_another_limit_is_told_when_only_its_rate_is_left() -> None:
    clock = Clock()
    pool = Pool(clock)
    demand = Demand(batch="b", tool="t", tool_limit=1, rate=Rate(1, per=10.0))
    first, second, third = (pool.request(demand) for _ in range(3))
    clock.now = 15.0
    assert pool.poll() is None, "the rate allows it, the tool's limit does not: no alarm is set"
    woken = third.granted()
    pool.release(permit(first))
    assert granted(second)
    assert woken.done()
    assert not granted(third)
    assert pool.poll() == pytest.approx(10.0)


def test_who_asks_between_the_grant_and_its_telling_gets_the_permit_and_is_not_told_twice() -> None:
    pool = Pool()
    ticket, waiting = (pool.request(Demand(batch="b", tool="t", batch_limit=1)) for _ in range(2))
    assert ticket.permit is not None
    waiting.permit = ticket.permit  # granted, under the lock of the pool
    asked = waiting.granted()
    waiting.tell()
    assert (asked.result(0), waiting.granted().result(0)) == (ticket.permit, ticket.permit)
