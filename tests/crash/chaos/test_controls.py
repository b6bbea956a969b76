"""Builds that are broken on purpose. A chaos run that passes on one of them is worth nothing."""

from __future__ import annotations

import pytest

from crash.chaos.broken import CONTROLS
from crash.chaos.controls import ENOUGH, attempts
from crash.chaos.pool import run_one


@pytest.mark.crash
@pytest.mark.parametrize("control", CONTROLS)
def test_a_broken_build_is_caught(control: str) -> None:
    caught = next((outcome for outcome in map(run_one, attempts(control)) if outcome.violations), None)
    assert caught is not None, f"{control} passed {ENOUGH} trials"
