"""The short words of every view."""

from __future__ import annotations

import pytest

from toolslot._domain._slot import SlotState
from toolslot._views import LETTERS, coarse_span_text, date_text, span_text, time_text


def test_every_state_has_a_letter_of_its_own() -> None:
    assert len({LETTERS[state] for state in SlotState}) == len(SlotState)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (-1, "0 ms"),
        (0.0002, "<1 ms"),
        (0.35, "350 ms"),
        (0.9996, "1.00 s"),
        (1.25, "1.25 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (1e9, "11,574 d 1 h"),
    ],
)
def test_a_span_is_told_in_at_most_two_units(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_a_coarse_span_has_one_unit() -> None:
    assert [coarse_span_text(seconds) for seconds in (0.2, 125, 86_395, 90_000)] == [
        "200 ms",
        "2 min",
        "1 d",
        "1 d",
    ]


def test_times_are_told_in_utc() -> None:
    assert (date_text(1_794_646_800.25), time_text(1_794_646_800.25)) == ("14 Nov 2026", "09:00:00.250")


def test_a_time_that_no_calendar_knows_is_a_question_mark() -> None:
    assert (date_text(1e300), time_text(-1e300)) == ("?", "?")
