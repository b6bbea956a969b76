from __future__ import annotations

from pathlib import Path

import pytest

from toolslot._demo._processes import Agents, Deadline
from toolslot._demo._side import Side, SideRun


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> SideRun:
    """LangGraph's own ToolNode, really killed and really resumed: about three seconds."""
    folder: Path = tmp_path_factory.mktemp("plain")
    with Agents() as agents:
        return Side("plain", folder, agents, Deadline(60), lambda _side, _step: None).run()
