"""What is written along the axis: round spans, days, and nothing on top of another."""

from __future__ import annotations

import pytest

from support.views import T0
from toolslot._views.timeline._scale import scale
from toolslot._views.timeline._ticks import Label, ticks


def texts(labels: tuple[Label, ...]) -> list[str]:
    return [label.text for label in labels]


def test_a_piece_begins_with_its_day_and_time_and_goes_on_in_round_steps() -> None:
    found = ticks(scale([(T0, T0 + 10)]), 800)
    assert texts(found.clock) == ["14 Nov 2026 09:00:00.000"]
    assert texts(found.offsets) == [
        "+1.00 s",
        "+2.00 s",
        "+3.00 s",
        "+4.00 s",
        "+5.00 s",
        "+6.00 s",
        "+7.00 s",
        "+8.00 s",
        "+9.00 s",
    ]


def test_an_offset_stands_at_the_place_of_its_moment() -> None:
    axis = scale([(T0, T0 + 4)])
    units = {"s": 1.0, "ms": 0.001}
    for label in ticks(axis, 800).offsets:
        count, unit = label.text[1:].split()
        assert label.at == pytest.approx(axis.at(T0 + float(count) * units[unit]), abs=1e-6)


def test_a_cut_says_how_long_it_was() -> None:
    assert "1 d" in texts(ticks(scale([(T0, T0 + 5), (T0 + 86_400, T0 + 86_405)]), 800).offsets)


def test_a_new_day_is_told_even_where_there_is_little_room() -> None:
    found = ticks(
        scale([(T0 + i * 60, T0 + i * 60 + 1) for i in range(9)] + [(T0 + 86_400, T0 + 86_401)]), 400
    )
    assert any(text.startswith("15 Nov") for text in texts(found.clock))


@pytest.mark.parametrize("width", [285.0, 420.0, 740.0])
@pytest.mark.parametrize("count", [1, 2, 8, 100])
def test_no_label_touches_another_or_leaves_the_axis(count: int, width: float) -> None:
    found = ticks(scale([(T0 + i * 5000, T0 + i * 5000 + 1 + i % 3) for i in range(count)]), width)
    for line in (found.clock, found.offsets):
        places = sorted((label.at * width, len(label.text)) for label in line)
        assert len({place for place, _ in places}) == len(places)
    assert found.clock


@pytest.mark.parametrize("seconds", [1e-5, 0.003, 0.5, 7, 100, 5000, 90_000, 1e7])
def test_every_length_of_time_has_a_few_ticks(seconds: float) -> None:
    assert 1 <= len(ticks(scale([(T0, T0 + seconds)]), 800).grid) <= 10
