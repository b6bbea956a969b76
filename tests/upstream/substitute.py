"""A plugin for the test suites of LangGraph and LangChain: what becomes of each test, with plain tool nodes or with durable ones.

`UPSTREAM` says which, and `UPSTREAM_REPORT` where the outcomes go. Durable ones have a journal in memory, another for each test.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

_outcomes: dict[str, str] = {}
_journal: list[Any] = []
_recorded = [0]


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported, and so before one can hold a plain class by its name."""
    del config
    if os.environ["UPSTREAM"] == "durable":
        {"node": _substitute_node, "make_durable": _substitute_agents}[os.environ["UPSTREAM_DOOR"]]()


def _substitute_node() -> None:
    """Every `ToolNode` that the tests or `create_react_agent` make is a durable one."""
    from langgraph.prebuilt import chat_agent_executor, tool_node

    from langgraph import prebuilt
    from toolslot_langgraph import DurableParallelToolNode

    class Substitute(DurableParallelToolNode):
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, journal=_current(), **settings)

    for module in (prebuilt, tool_node, chat_agent_executor):
        module.ToolNode = Substitute  # type: ignore[assignment,attr-defined,misc]


def _substitute_agents() -> None:
    """Every agent that the tests make with `create_agent` goes through `make_durable`."""
    from langchain import agents
    from langchain.agents import factory

    from toolslot import InvalidSetting
    from toolslot_langgraph import make_durable

    plain = factory.create_agent

    def create_agent(*args: Any, **settings: Any) -> Any:
        agent = plain(*args, **settings)
        try:
            return make_durable(agent, journal=_current())
        except InvalidSetting as refused:
            if "found no ToolNode" in str(refused):
                return agent
            raise

    create_agent.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
    create_agent.__doc__ = plain.__doc__
    for module in (agents, factory):
        module.create_agent = create_agent  # type: ignore[assignment]


def _current() -> Any:
    from toolslot.journal import MemoryJournal

    if not _journal:
        _journal.append(MemoryJournal())
    return _journal[0]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A journal of its own for each test. The one before shows that durable nodes were at work."""
    del item
    _forget()


def _forget() -> None:
    for journal in _journal:
        _recorded[0] += len(list(journal.keys().result()))
    _journal.clear()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a large suite only the tests that have to do with tools."""
    words = os.environ.get("UPSTREAM_ABOUT")
    if not words:
        return
    kept = [item for item in items if re.search(words, inspect.getsource(item.function))]  # type: ignore[attr-defined]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test has passed if all of its phases have."""
    worst = _outcomes.get(report.nodeid)
    if worst is None or report.outcome == "failed" or (report.outcome == "skipped" and worst == "passed"):
        _outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    """The outcomes, and how many batches were recorded."""
    _forget()
    _outcomes["batches"] = str(_recorded[0])
    Path(os.environ["UPSTREAM_REPORT"]).write_text(json.dumps(_outcomes))
