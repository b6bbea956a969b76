"""The page as text: what is in it, and what never is. How it looks and works is tested in a browser."""

from __future__ import annotations

from support.views import everything, five_calls, run
from toolslot._views.timeline import page


def test_a_page_shows_every_call_of_the_run() -> None:
    html = page(five_calls())
    for call in five_calls().calls:
        assert call.tool in html


def test_a_page_of_every_state_and_of_an_empty_run_can_be_made() -> None:
    assert "taken over by force" not in page(run())
    assert "by force: stopped by a debugger" in page(everything())


def test_calls_are_numbered_from_0_as_messages_and_the_command_name_them() -> None:
    """Whoever reads a number off the page and types it must not settle the call beside it."""
    html = page(five_calls())
    assert [f'<i class="n">{number}</i>' in html for number in range(6)] == [True] * 5 + [False]
