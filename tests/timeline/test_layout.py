"""What is drawn of a run, and where."""

from __future__ import annotations

import pytest

from support.views import T0, attempt, batch, call, everything, five_calls, killed_and_resumed, owner, run
from toolslot._domain._slot import SlotState
from toolslot._views import PlaceView
from toolslot._views.timeline._layout import timeline
from toolslot._views.timeline._plain import plain
from toolslot._views.timeline._shapes import BarKind, BoundaryKind, Lane, MarkKind


def only(view: object) -> Lane:
    (lane,) = timeline(view).lanes  # type: ignore[arg-type]
    return lane


def test_a_light_bar_for_queueing_touches_the_solid_one() -> None:
    queued, ran = only(five_calls()).rows[2].bars
    assert (queued.kind, ran.kind) == (BarKind.QUEUED, BarKind.RAN)
    assert queued.right == ran.left
    assert queued.left == 0.0


def test_attempts_follow_one_another_on_the_row() -> None:
    bars = [bar for bar in only(killed_and_resumed()).rows[4].bars if bar.kind is BarKind.RAN]
    assert [bar.state for bar in bars] == [SlotState.UNKNOWN, SlotState.SUCCEEDED]
    assert bars[0].right < bars[1].left


def test_a_dead_owner_is_marked_from_its_last_sign_of_life_to_the_takeover() -> None:
    drawn = timeline(killed_and_resumed())
    (lane,) = drawn.lanes
    (boundary,) = lane.boundaries
    assert boundary.kind is BoundaryKind.DIED
    assert (boundary.at, boundary.until) == (drawn.scale.at(T0 + 1.2), drawn.scale.at(T0 + 1.3 + 5400))
    assert "pid 4712 took over" in boundary.text


def test_a_dead_owner_that_nobody_followed_leaves_room_after_its_last_sign_of_life() -> None:
    view = run(
        batch(
            [call(0, "pay", attempt(queued=0, started=0, until=10))],
            [owner(since=0, last_seen=10, died=True)],
        )
    )
    (boundary,) = only(view).boundaries
    assert 0.9 < boundary.at < boundary.until == 1.0
    assert "no process has taken over" in boundary.text


def test_force_and_letting_go_are_other_boundaries_than_death() -> None:
    kinds = [boundary.kind for boundary in only(everything()).boundaries]
    assert kinds == [BoundaryKind.DIED, BoundaryKind.FORCED]


def test_a_replayed_call_is_marked_where_the_later_owner_came() -> None:
    drawn = timeline(killed_and_resumed())
    (mark,) = drawn.lanes[0].rows[0].marks
    assert (mark.kind, mark.at) == (MarkKind.REPLAYED, drawn.scale.at(T0 + 1.3 + 5400))


def test_a_call_that_was_not_run_for_its_effect_is_marked_where_it_got_its_answer() -> None:
    first = PlaceView(run_id="run", batch_id="batch", index=0, generation=1)
    calls = [
        call(0, "pay", attempt(queued=0, started=0, until=4)),
        call(1, "pay", state=SlotState.SUCCEEDED, ended_at=T0 + 4, result_of=first),
        call(2, "pay", state=SlotState.FAILED, ended_at=T0 + 8, refused=True),
    ]
    drawn = timeline(run(batch(calls, [owner(since=0, last_seen=8)])))
    (got,), (refused,) = (row.marks for row in drawn.lanes[0].rows[1:])
    assert (got.kind, got.at) == (MarkKind.DEDUPLICATED, drawn.scale.at(T0 + 4))
    assert got.text == "result of call 0 of batch run/batch: nothing ran"
    assert (refused.kind, refused.at) == (MarkKind.REFUSED, drawn.scale.at(T0 + 8))
    told = plain(drawn.run)
    assert "not run, result of call 0 of batch run/batch" in told
    assert "x" in told.splitlines()[-1]
    assert "2 not run, for their effect keys" in told


def test_a_call_at_work_reaches_to_the_moment_of_reading() -> None:
    bar = only(everything()).rows[2].bars[-1]
    assert (bar.open_end, bar.right) == (True, 1.0)


def test_a_question_that_waits_for_a_person_takes_no_time_of_the_axis() -> None:
    waiting = attempt(queued=0, started=0, until=1, state=SlotState.WAITING)
    answered = attempt(2, queued=7200, started=7200, until=7201)
    view = run(batch([call(0, "ask", waiting, answered)], [owner(since=0, last_seen=7201)]))
    (cut,) = timeline(view).scale.cuts
    assert cut.end - cut.begin == pytest.approx(7199)


def test_the_strip_counts_calls_at_once_against_the_limit_of_each_owner() -> None:
    strip = only(killed_and_resumed()).strip
    assert strip.peak == 3
    assert [limit.count for limit in strip.limits] == [3, 3]
    assert strip.steps[-1][1] == 0, "in the end nothing runs"
    assert max(count for _, count in strip.steps) == strip.peak


def test_a_call_that_ends_as_another_begins_is_not_counted_with_it() -> None:
    calls = [
        call(0, "a", attempt(queued=0, started=0, until=1)),
        call(1, "b", attempt(queued=0, started=1, until=2)),
    ]
    assert only(run(batch(calls, [owner(since=0, last_seen=2, limit=1)]))).strip.peak == 1


def test_a_clock_that_was_set_back_gives_no_bar_of_negative_length() -> None:
    view = run(batch([call(0, "a", attempt(queued=5, started=4, until=1))], [owner(since=0, last_seen=5)]))
    assert all(bar.left <= bar.right for bar in only(view).rows[0].bars)


def test_a_run_without_batches_has_an_axis() -> None:
    assert timeline(run()).lanes == ()


@pytest.mark.parametrize("at", [1e300, -1e300, 1e18])
def test_absurd_times_of_a_crafted_journal_are_drawn_somehow(at: float) -> None:
    view = run(batch([call(0, "a", attempt(queued=at, started=at, until=at))], [owner(since=0, last_seen=1)]))
    for bar in only(view).rows[0].bars:
        assert 0 <= bar.left <= bar.right <= 1
