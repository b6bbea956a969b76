"""Every Python block of the README runs as it stands; what it leaves out is given here."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


class Bank:
    """The service that the README's tool talks to."""

    def __init__(self) -> None:
        self.receipts: dict[str, str] = {}

    def pay(self, invoice: str, amount: int, *, idempotency_key: str) -> str:
        return self.receipts.setdefault(idempotency_key, f"receipt for {invoice}")

    def find(self, idempotency_key: str) -> str | None:
        return self.receipts.get(idempotency_key)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_python_block_of_the_readme_runs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = pytest.importorskip("langchain.agents")
    llamaindex = pytest.importorskip("llama_index.core.agent.workflow")
    from langchain_core.language_models.fake_chat_models import FakeListChatModel
    from langgraph.checkpoint.memory import InMemorySaver

    from toolslot import NotDone, ToolPolicy
    from toolslot_langgraph import make_durable
    from toolslot_llamaindex._demo_agent import ScriptedLLM

    def search(query: str) -> str:
        """Search."""
        return query

    def balance() -> int:
        """Balance."""
        return 1

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "tools": [search],
        "balance": balance,
        "bank": Bank(),
        "create_agent": agents.create_agent,
        "model": FakeListChatModel(responses=[]),
        "checkpointer": InMemorySaver(),
        "make_durable": make_durable,
        "ToolPolicy": ToolPolicy,
        "was_it_paid": lambda slot: NotDone(),
        "FunctionAgent": llamaindex.FunctionAgent,
        "llm": ScriptedLLM(["Both are paid."]),
    }
    exec(compile(BLOCKS[number], f"README.md block {number}", "exec"), names)
    if "main" in names:
        assert asyncio.run(names["main"]()) is None
        assert capsys.readouterr().out == "Both are paid.\n"
    if "results" in names:
        assert names["results"] == ["paid A-1", "fog in Oslo"]
        names["executor"].journal.close()


def test_the_readme_quotes_the_promise_word_for_word() -> None:
    """The same sentences stand where users look for them, and nothing stronger."""
    text = " ".join(README.read_text().split())
    for sentence in (
        "Within its batch, a call whose result is recorded never runs again;",
        "a call that never started simply runs;",
        "a call that started and left no record follows its tool's policy.",
        "A recorded failure that reached the agent is a result; one that crashed the run follows `on_failed`.",
        'An effect happens at most once only with `on_unknown="fail"`/`"ask"` or with a correct reconciler.',
        "Code before an `interrupt()` or `wait_for_event` repeats at every answer.",
        "When the model itself is asked again, only tools with an effect key are protected:",
        "within one journal, an effect whose key is recorded as done is never had again.",
    ):
        assert sentence in text


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text()):
        assert (README.parent / target).exists(), target
