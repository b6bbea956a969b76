"""How long a search goes on: the same few examples at every run of the tests, many random ones in `make nightly`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypothesis import settings

NIGHTLY = os.environ.get("TOOLSLOT_NIGHTLY") == "1"


def search(examples: int, *, steps: int = 50, nightly: int = 20) -> settings:
    """So many examples, `nightly` times as many by night."""
    from hypothesis import HealthCheck, settings  # the environments of other groups have none

    return settings(
        max_examples=examples * (nightly if NIGHTLY else 1),
        stateful_step_count=steps,
        derandomize=not NIGHTLY,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
