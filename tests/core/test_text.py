"""Names that may come from anybody, as they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolslot._text import quoted, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pay_invoice", "pay_invoice"),
        ("bezahlen für 日本 🎉", "bezahlen für 日本 🎉"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\u2028line\u0085", r"\u2028line\x85"),
        ("\ud800", r"\ud800"),
        ("\U000e0041tag", r"\U000e0041tag"),
        ("", ""),
    ],
)
def test_what_could_mislead_is_written_out_and_the_rest_stays(text: str, expected: str) -> None:
    assert shown(text) == expected
    assert quoted(text) == f"'{expected}'"


@pytest.mark.parametrize("text", ["x" * 2**20, "\x1b" * 2**20, "\ud800" * 200])
def test_a_long_name_is_cut(text: str) -> None:
    assert len(shown(text)) == 200
    assert shown(text).endswith("…")
    assert len(shown(text, 10)) == 10


@given(st.text(st.characters(), max_size=300))
def test_any_text_becomes_one_printable_line_of_bounded_length(text: str) -> None:
    found = shown(text)
    assert found.isprintable()
    assert len(found) <= 200
    assert found == text or not text.isprintable() or len(text) > 200
