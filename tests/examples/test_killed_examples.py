"""Every example that is killed runs to its end as a script of its own, and shows what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

pytestmark = pytest.mark.crash


def output(folder: Path, script: str, *options: str) -> list[str]:
    """What a script prints. Its files are in `folder`, and gone when it has ended."""
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder)}
    environment.pop("TOOLSLOT_HOME", None)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not [*folder.iterdir()], "it left something behind"
    return [line.strip() for line in done.stdout.splitlines()]


KILLED, ENDED = "the first process was killed", "the second process came to its end"


def test_a_batch_without_a_framework_pays_once_and_asks_its_reconciler_about_one_call_only(
    tmp_path: Path,
) -> None:
    assert output(tmp_path, "plain_executor.py") == [
        KILLED,
        "asked about charge_card: it was done",
        "hotel in Oslo",
        "flight to Oslo",
        "740 euros paid",
        ENDED,
        "in the book: 740 euros paid",
        "in the book: flight to Oslo",
        "in the book: hotel in Oslo",
    ]


def test_a_workflow_goes_on_in_the_agent_it_was_handed_to(tmp_path: Path) -> None:
    pytest.importorskip("llama_index.core")
    assert output(tmp_path, "llamaindex_workflow.py") == [
        KILLED,
        "asked about power: it was done",
        "Rent and power are paid.",
        "the model was asked 1 times",
        ENDED,
        "in the book: paid power",
        "in the book: paid rent",
    ]


def test_a_state_graph_pays_once_and_asks_its_reconciler_about_one_call_only(tmp_path: Path) -> None:
    pytest.importorskip("langgraph.checkpoint.sqlite")
    assert output(tmp_path, "langgraph_stategraph.py") == [
        KILLED,
        "asked about charge_card: it was done",
        "tool: hotel in Oslo (replayed)",
        "tool: flight to Oslo (replayed)",
        "tool: 740 euros paid (replayed)",
        "ai: Your trip to Oslo is booked and paid.",
        ENDED,
        "in the book: 740 euros paid",
        "in the book: flight to Oslo",
        "in the book: hotel in Oslo",
    ]


@pytest.mark.parametrize("options", [[], ["middleware"]], ids=["make_durable", "middleware"])
def test_an_agent_asks_a_person_about_the_call_that_nobody_can_know(
    tmp_path: Path, options: list[str]
) -> None:
    pytest.importorskip("langgraph.checkpoint.sqlite")
    pytest.importorskip("langchain")
    assert output(tmp_path, "langgraph_create_agent.py", *options) == [
        KILLED,
        "asked about pay, call id pay-A-2: owner died",
        "answered: {'done': 'A-2 paid'}",
        "tool: 5000 on main",
        "tool: A-1 paid",
        "tool: A-2 paid",
        "ai: Both invoices are paid.",
        ENDED,
        "in the book: A-1 paid",
        "in the book: A-2 paid",
    ]


def test_a_supervisors_sub_agent_goes_on_where_it_stood(tmp_path: Path) -> None:
    pytest.importorskip("langgraph.checkpoint.sqlite")
    pytest.importorskip("langchain")
    assert output(tmp_path, "langgraph_supervisor.py") == [
        "durable: tools, tools/research/tools, tools/accounting/tools",
        "the accountant is called",
        KILLED,
        "the accountant is called",
        "asked about pay of Bob",
        "tool: Two found.",
        "tool: Both suppliers are paid.",
        "ai: The hotels are found and the suppliers are paid.",
        ENDED,
        "in the book: Ann paid",
        "in the book: Bob paid",
        "in the book: searched hotels in Bergen",
        "in the book: searched hotels in Oslo",
    ]


def test_what_an_mcp_server_says_about_its_tools_decides(tmp_path: Path) -> None:
    for package in ("langgraph.checkpoint.sqlite", "langchain", "langchain_mcp_adapters", "aiosqlite"):
        pytest.importorskip(package)
    assert output(tmp_path, "langgraph_mcp.py") == [
        KILLED,
        "asked about transfer, call id transfer-Bob-20",
        "tool: desk: 740 euros",
        "tool: 10 euros to Ann",
        "tool: 20 euros to Bob",
        "ai: The transfers are made.",
        ENDED,
        "in the book: 10 euros to Ann",
        "in the book: 20 euros to Bob",
    ]


def test_the_mcp_example_says_what_it_needs_when_that_is_not_installed(tmp_path: Path) -> None:
    hidden = tmp_path / "langchain_mcp_adapters.py"
    hidden.write_text("raise ImportError('hidden', name=__name__)")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "langgraph_mcp.py")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install langchain-mcp-adapters" in done.stderr


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_is_listed_in_their_readme(script: str) -> None:
    assert f"`{script}`" in (EXAMPLES / "README.md").read_text()
