"""Every Python block of the README runs as it stands; what it leaves out is given here."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
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


def interrupted_graph() -> Any:
    """What `graph.invoke` gives when two calls are asked about, and what it takes as their answers."""
    answers: list[Any] = []
    question = SimpleNamespace(value={"questions": [{"id": "a@1"}, {"id": "b@2"}]})

    def invoke(given: Any, config: Any) -> Any:
        if given is None:
            return {"__interrupt__": [question]}
        answers.append(given.resume)
        return {}

    return SimpleNamespace(invoke=invoke, answers=answers)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_python_block_of_the_readme_runs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    langgraph = pytest.importorskip("langgraph.types")
    agents = pytest.importorskip("langchain.agents")
    llamaindex = pytest.importorskip("llama_index.core.agent.workflow")
    from langchain_core.language_models.fake_chat_models import FakeListChatModel
    from langgraph.checkpoint.memory import InMemorySaver

    from toolslot_langgraph import DurableParallelToolNode
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
        "graph": interrupted_graph(),
        "config": {},
        "Command": langgraph.Command,
        "create_agent": agents.create_agent,
        "model": FakeListChatModel(responses=[]),
        "checkpointer": InMemorySaver(),
        "DurableParallelToolNode": DurableParallelToolNode,
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
    assert (
        "Within its batch, a call whose result is recorded never runs again; a call that never started simply runs; a call that started and"
        " left no record follows its tool's policy."
    ) in text
    assert (
        'An effect happens at most once only with `on_unknown="fail"`/`"ask"` or with a correct reconciler.'
        in text
    )
