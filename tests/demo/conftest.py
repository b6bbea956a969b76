from __future__ import annotations

from pathlib import Path

import pytest

from toolslot._demo._frameworks import FRAMEWORKS
from toolslot._demo._processes import Agents, Deadline
from toolslot._demo._side import Side, SideRun


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> SideRun:
    """LangGraph's own ToolNode, really killed and really resumed: about three seconds."""
    return _plain("langgraph", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def plain_llamaindex(tmp_path_factory: pytest.TempPathFactory) -> SideRun:
    """LlamaIndex's own FunctionAgent, really killed and really run again."""
    return _plain("llamaindex", tmp_path_factory.mktemp("plain"))


def _plain(framework: str, folder: Path) -> SideRun:
    with Agents() as agents:
        side = Side("plain", folder, FRAMEWORKS[framework], agents, Deadline(60), lambda _side, _step: None)
        return side.run()
