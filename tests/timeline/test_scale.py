"""The time axis: what is cut short, what is stretched, and that places agree with times."""

from __future__ import annotations

import pytest

from toolslot._views.timeline._scale import scale


def test_time_is_even_where_nothing_is_cut() -> None:
    axis = scale([(100.0, 104.0), (104.2, 110.0)])
    assert axis.cuts == ()
    assert [axis.at(time) for time in (100.0, 105.0, 110.0)] == pytest.approx([0.0, 0.5, 1.0])


def test_what_lies_outside_is_at_the_edge() -> None:
    axis = scale([(100.0, 110.0)])
    assert (axis.at(0.0), axis.at(1e9)) == (0.0, 1.0)


def test_a_long_idle_time_is_cut_short() -> None:
    axis = scale([(0.0, 10.0), (86_400.0, 86_410.0)])
    (cut,) = axis.cuts
    assert (cut.begin, cut.end) == (10.0, 86_400.0)
    assert cut.right - cut.left == pytest.approx(0.035)
    first, second = axis.pieces
    assert first.right - first.left == pytest.approx(second.right - second.left)


def test_a_pause_that_is_short_beside_the_rest_is_drawn_as_it_was() -> None:
    assert scale([(0.0, 10.0), (11.0, 20.0)]).cuts == ()


def test_the_moment_before_the_first_call_of_a_short_batch_is_not_cut_out() -> None:
    axis = scale([(0.0, 0.0), (0.034, 0.164)])
    assert axis.cuts == ()
    assert axis.at(0.082) == pytest.approx(0.5)


def test_fifty_milliseconds_after_a_day_are_readable_and_said_to_be_stretched() -> None:
    axis = scale([(0.0, 30.0), (86_400.0, 86_400.05)])
    long, short = axis.pieces
    assert short.right - short.left > 0.1
    assert long.stretch == 1.0
    drawn = (short.right - short.left) / (short.end - short.begin)
    even = (long.right - long.left) / (long.end - long.begin)
    assert short.stretch == pytest.approx(drawn / even)


@pytest.mark.parametrize("count", [1, 2, 3, 40, 1000])
def test_the_pieces_and_cuts_fill_the_axis_in_order(count: int) -> None:
    axis = scale([(i * 1000.0, i * 1000.0 + i % 7) for i in range(count)])
    places = [place for piece in axis.pieces for place in (piece.left, piece.right)]
    assert places == sorted(places)
    assert (places[0], places[-1]) == pytest.approx((0.0, 1.0))


def test_a_later_moment_never_lies_further_left() -> None:
    axis = scale([(0.0, 1.0), (50.0, 50.0), (1e6, 1e6 + 3)])
    places = [axis.at(time / 3) for time in range(-5, 200)] + [axis.at(1e6 + time / 7) for time in range(40)]
    assert places == sorted(places)


def test_moments_without_length_have_room_on_the_axis() -> None:
    axis = scale([(5.0, 5.0)])
    assert axis.at(5.0) == 0.0
    assert [(piece.left, piece.right) for piece in axis.pieces] == [(0.0, 1.0)]
