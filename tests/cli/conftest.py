from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.commands import killed


@pytest.fixture(scope="session")
def dead_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an agent that was killed. Look at it; take a copy (`folder`) to change anything."""
    folder = tmp_path_factory.mktemp("dead")
    killed(folder)
    return folder


@pytest.fixture(scope="session")
def dead(dead_agent: Path) -> Path:
    """Its journal, to be read only."""
    return dead_agent / "journal"


@pytest.fixture
def folder(dead_agent: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(dead_agent, tmp_path / "agent"))


@pytest.fixture
def home(folder: Path) -> Path:
    return folder / "journal"
