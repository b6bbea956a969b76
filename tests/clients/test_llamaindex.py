"""LlamaIndex with the provider classes that people use: after a death the provider is asked what it would have been asked without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.apis.anthropic import Anthropic
from clients.apis.bedrock import Bedrock
from clients.apis.gemini import Gemini
from clients.apis.mistral import Mistral
from clients.apis.ollama import Ollama
from clients.apis.openai_chat import OpenAIChat
from clients.apis.openai_responses import OpenAIResponses
from clients.loopback import Api
from clients.trials import ALL, Trial, assert_same, trial
from support.forked import TESTS

pytestmark = pytest.mark.crash

SCRIPT = TESTS / "clients" / "llama_client.py"

APIS: dict[str, Callable[[], Api]] = {
    "openai": OpenAIChat,
    "openai-responses": OpenAIResponses,
    "openai-like": lambda: OpenAIChat(reasoning="reasoning_content"),
    "anthropic": Anthropic,
    "google-genai": Gemini,
    "mistralai": Mistral,
    "ollama": Ollama,
    "bedrock": Bedrock,
}


def clients(*names: str) -> Any:
    """Each class, streamed as agents do by default, and not."""
    ways = [(name, way) for name in names for way in ("streamed", "whole")]
    return pytest.mark.parametrize(
        ("client", "streamed"),
        [pytest.param(name, way == "streamed", id=f"{name}-{way}") for name, way in ways],
    )


@pytest.fixture
def agent(client: str, streamed: bool, tmp_path: Path) -> Iterator[Trial]:
    with trial(SCRIPT, client, streamed, APIS[client](), tmp_path) as found:
        yield found


@clients(*APIS)
def test_killed_while_the_model_reads_the_results_it_is_asked_the_same_again(agent: Trial) -> None:
    expected = agent.plain()
    assert len(expected) == 2
    assert_same(agent.killed_asking(2), expected)
    assert_same(agent.resumed(), expected[1:])
    assert agent.ledger.counts("paid", ALL) == [1] * len(ALL)


@clients(*APIS)
def test_killed_among_the_calls_the_model_reads_the_results_as_if_nothing_had_happened(agent: Trial) -> None:
    expected = agent.plain()
    assert_same(agent.killed_paying(), expected[:1])
    assert_same(agent.resumed(), expected[1:])
    assert agent.ledger.counts("paid", ALL) == [1, 1, 1, 2, 2]


@clients("openai", "google-genai")
def test_what_earlier_runs_left_in_the_memory_reaches_the_provider_as_it_was(agent: Trial) -> None:
    both = ("--runs", "order-17,order-18")
    expected = agent.plain(*both)
    assert len(expected) == 4
    assert_same(agent.killed_asking(4, *both), expected)
    # A new process has nothing in its memory: what was there when the run began is in the run's own record.
    assert_same(agent.resumed("--runs", "order-18"), expected[3:])
    assert agent.ledger.counts("paid", ALL) == [2] * len(ALL)
