"""Runs as views show them, put together by hand: times are seconds after `T0`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from toolslot._domain._slot import Handover, Reason, SlotState, Verdict
from toolslot._views import AttemptView, BatchStatus, BatchView, CallView, DecisionView, OwnerView, RunView
from toolslot.journal import OwnerState

#: 14 Nov 2026, 09:00:00 UTC
T0 = 1_794_646_800.0

S, F, U, W, R = SlotState.SUCCEEDED, SlotState.FAILED, SlotState.UNKNOWN, SlotState.WAITING, SlotState.RUNNING


def attempt(
    number: int = 1,
    *,
    queued: float,
    started: float,
    until: float | None,
    state: SlotState = S,
    epoch: int = 1,
    reason: Reason | None = None,
    error: str | None = None,
) -> AttemptView:
    return AttemptView(
        generation=1,
        number=number,
        epoch=epoch,
        state=state,
        queued_at=T0 + queued,
        started_at=T0 + started,
        ended_at=None if until is None else T0 + until,
        until=None if until is None else T0 + until,
        reason=reason,
        error_type=error,
    )


def call(index: int, tool: str, *attempts: AttemptView, **options: Any) -> CallView:
    """A call whose newest attempt tells its times and state, unless `options` say otherwise."""
    last = attempts[-1] if attempts else None
    settings: dict[str, Any] = {
        "state": last.state if last is not None else SlotState.RESERVED,
        "reason": last.reason if last is not None else None,
        "queued_at": last.queued_at if last is not None else None,
        "started_at": last.started_at if last is not None else None,
        "ended_at": last.ended_at if last is not None else None,
        "error_type": last.error_type if last is not None else None,
        "call_id": f"call_{index}",
    }
    return CallView(
        run_id="run",
        batch_id="batch",
        index=index,
        tool=tool,
        version=2 * len(attempts),
        attempt=len(attempts),
        generation=1,
        idempotency_key=f"{index:032x}",
        attempts=attempts,
        **(settings | options),
    )


def owner(
    epoch: int = 1, *, since: float, last_seen: float, until: float | None = None, **options: Any
) -> OwnerView:
    settings: dict[str, Any] = {"how": Handover.RESERVED, "why": "", "died": False, "limit": 4}
    settings |= {"host": "worker-1"}
    return OwnerView(
        epoch=epoch,
        pid=4710 + epoch,
        process_started=T0 - 2 + (since if epoch > 1 else 0),
        since=T0 + since,
        last_seen=T0 + last_seen,
        until=None if until is None else T0 + until,
        **(settings | options),
    )


def batch(
    calls: Sequence[CallView], owners: Sequence[OwnerView], *, name: str = "batch", **options: Any
) -> BatchView:
    settings: dict[str, Any] = {"state": BatchStatus.CLOSED, "held": False, "closed": True}
    settings |= {"owner_state": OwnerState.DEAD, "adapter": "langgraph"}
    return BatchView(
        run_id="run",
        batch_id=name,
        epoch=owners[-1].epoch,
        created=owners[0].since,
        ended_at=owners[-1].last_seen,
        calls=tuple(replace(one, batch_id=name) for one in calls),
        owners=tuple(owners),
        **(settings | options),
    )


def run(*batches: BatchView, run_id: str = "run", **options: Any) -> RunView:
    last = max((one.ended_at for one in batches), default=T0)
    return RunView(run_id=run_id, batches=batches, **({"read_at": last + 60} | options))


# --- whole stories ------------------------------------------------------------------------------------------------------


def five_calls() -> RunView:
    """One batch, two at a time."""
    calls = [
        call(0, "search_flights", attempt(queued=0, started=0.02, until=0.9)),
        call(1, "search_hotels", attempt(queued=0, started=0.02, until=1.42)),
        call(2, "weather", attempt(queued=0, started=0.9, until=1.1)),
        call(3, "visa_rules", attempt(queued=0, started=1.1, until=1.31, state=F, error="tools.NotFound")),
        call(4, "book_table", attempt(queued=0, started=1.31, until=2.3)),
    ]
    return run(batch(calls, [owner(since=0, last_seen=2.35, limit=2)]), run_id="trip-to-lisbon")


def killed_and_resumed(*, away: float = 5400.0) -> RunView:
    """A batch whose owner died amid three calls; `away` seconds later another one went on."""
    back = 1.3 + away
    lost = {"state": U, "reason": Reason.OWNER_DIED}
    done = DecisionView(verdict=Verdict.DONE, by="reconciler", why="receipt R-3", at=T0 + back + 0.1)
    calls = [
        call(0, "balance", attempt(queued=0, started=0.01, until=0.31), replayed=True),
        call(1, "pay_rent", attempt(queued=0, started=0.02, until=0.5), replayed=True),
        call(2, "pay_hosting", attempt(queued=0, started=0.03, until=0.62), replayed=True),
        call(
            3,
            "find_invoice",
            attempt(queued=0, started=0.31, until=0.4, state=F, error="KeyError"),
            replayed=True,
        ),
        call(
            4,
            "exchange_rate",
            attempt(queued=0, started=0.5, until=1.2, **lost),
            attempt(2, queued=back + 0.01, started=back + 0.02, until=back + 0.3, epoch=2),
        ),
        call(5, "pay_insurance", attempt(queued=0, started=0.4, until=1.2), decision=done),
        call(
            6,
            "pay_taxes",
            attempt(queued=0, started=0.62, until=1.2, **lost),
            attempt(2, queued=back + 0.1, started=back + 0.12, until=back + 0.52, epoch=2),
        ),
        call(7, "pay_water", attempt(queued=back, started=back + 0.3, until=back + 0.66, epoch=2)),
    ]
    owners = [
        owner(1, since=0, last_seen=1.2, until=back, died=True, limit=3),
        owner(2, since=back, last_seen=back + 0.7, how=Handover.DIED, why="its process is gone", limit=3),
    ]
    return run(batch(calls, owners), run_id="invoices-november")


def many_calls(count: int = 1000, limit: int = 32) -> RunView:
    """One batch of so many calls; their lengths differ, a few fail."""
    free = [0.0] * limit
    calls: list[CallView] = []
    for index in range(count):
        slot = min(range(limit), key=free.__getitem__)
        started = free[slot]
        length = 0.12 + (index * 7919 % 101) / 140
        free[slot] = started + length
        state = F if index % 97 == 13 else U if index % 251 == 7 else S
        one = attempt(
            queued=0,
            started=started,
            until=started + length,
            state=state,
            error="OSError" if state is F else None,
        )
        calls.append(call(index, ("fetch_page", "embed", "classify", "store_row")[index % 4], one))
    return run(batch(calls, [owner(since=0, last_seen=max(free), limit=limit)]), run_id="crawl-1000")


def eight_batches() -> RunView:
    """A morning's conversation: batches of several sizes, with pauses, one of them 50 ms long after a day."""
    batches: list[BatchView] = []
    begin = 0.0
    for number in range(8):
        size = (3, 1, 5, 2, 4, 8, 2, 3)[number]
        scale = 0.05 if number == 7 else 0.4 + number * 0.23
        calls: list[CallView] = []
        for index in range(size):
            started = begin + scale * 0.25 * (index // 4) + 0.001
            until = started + scale * (0.3 + (index * 37 % 11) / 22)
            calls.append(
                call(
                    index,
                    ("search", "read_file", "pay", "mail")[(index + number) % 4],
                    attempt(queued=begin, started=started, until=until),
                )
            )
        end = max(one.ended_at or 0 for one in calls) - T0
        batches.append(batch(calls, [owner(since=begin, last_seen=end, limit=8)], name=f"turn-{number + 1}"))
        begin = end + (0.9, 2.0, 40.0, 1.2, 3.0, 600.0, 86_400.0, 0.0)[number]
    return run(*batches, run_id="chat-with-eight-turns")


def everything() -> RunView:
    """Every state, a takeover by force, a question, a call that is at work, one that was withdrawn."""
    lost = {"state": U, "reason": Reason.OWNER_DIED}
    calls = [
        call(0, "search", attempt(queued=0, started=0.1, until=0.8), replayed=True),
        call(1, "ask_the_boss", attempt(queued=0, started=0.1, until=0.4, state=W)),
        call(
            2,
            "pay",
            attempt(queued=0, started=0.1, until=1.0, **lost),
            attempt(2, queued=3, started=3.1, until=3.6, state=F, epoch=2, error="bank.Declined"),
            attempt(3, queued=4.2, started=4.3, until=None, state=R, epoch=3),
        ),
        call(3, "mail", attempt(queued=0, started=0.4, until=0.5, state=SlotState.RESERVED)),
        call(4, "book", attempt(queued=0, started=0.8, until=1.0, state=U, reason=Reason.TIMED_OUT)),
        call(5, "never_begun"),
    ]
    owners = [
        owner(1, since=0, last_seen=1.0, until=3.0, died=True),
        owner(2, since=3, last_seen=3.7, until=4.0, how=Handover.DIED),
        owner(3, since=4, last_seen=4.3, how=Handover.FORCED, why="stopped by a debugger", limit=2),
    ]
    made = batch(
        calls, owners, state=BatchStatus.RUNNING, held=True, closed=False, owner_state=OwnerState.ALIVE
    )
    return run(made, run_id="all-at-once", read_at=T0 + 5.5)
