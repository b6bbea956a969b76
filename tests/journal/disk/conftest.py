from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolslot.journal import DiskJournal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the journal of the test is, or will be."""
    return tmp_path / "journal"


@pytest.fixture
def journal(root: Path) -> Iterator[DiskJournal]:
    with DiskJournal.open(root) as opened:
        yield opened
