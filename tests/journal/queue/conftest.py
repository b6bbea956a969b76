from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.queues import STORES, Opened
from toolslot.journal._queue._queued import QueuedJournal


@pytest.fixture(params=STORES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens the journal of the test."""
    return lambda: STORES[request.param](tmp_path / "journal")


@pytest.fixture
def journal(opened: Opened) -> Iterator[QueuedJournal]:
    journal = opened()
    yield journal
    journal.close()
