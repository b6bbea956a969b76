"""LlamaIndex with the provider classes that people use: after a death the provider is asked what it would have been asked without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.apis.gemini import Gemini
from clients.apis.openai_chat import OpenAIChat
from clients.loopback import Api
from clients.trials import ALL, Trial, assert_same, trial, ways
from support.forked import TESTS

pytestmark = pytest.mark.crash

SCRIPT = TESTS / "clients" / "llama_client.py"

APIS: dict[str, Callable[[], Api]] = {"openai": OpenAIChat, "google-genai": Gemini}

#: what is known to fail, by the client's name
FAULTS = {
    "openai": "the SDK's objects in a message's additional_kwargs cost the message at a resume",
    "google-genai": "the bytes of a thought's signature end the run in its first turn",
}


def clients(*names: str) -> Any:
    return pytest.mark.parametrize("client", [pytest.param(name, marks=known(name)) for name in names])


def known(name: str) -> list[Any]:
    fault = FAULTS.get(name)
    return [pytest.mark.xfail(reason=fault, raises=AssertionError, strict=True)] if fault else []


@pytest.fixture
def agent(client: str, streamed: bool, tmp_path: Path) -> Iterator[Trial]:
    with trial(SCRIPT, client, streamed, APIS[client](), tmp_path) as found:
        yield found


@ways
@clients(*APIS)
def test_killed_while_the_model_reads_the_results_it_is_asked_the_same_again(agent: Trial) -> None:
    expected = agent.plain()
    assert len(expected) == 2
    assert_same(agent.killed_asking(2), expected)
    assert_same(agent.resumed(), expected[1:])
    assert agent.ledger.counts("paid", ALL) == [1] * len(ALL)


@ways
@clients(*APIS)
def test_killed_among_the_calls_the_model_reads_the_results_as_if_nothing_had_happened(agent: Trial) -> None:
    expected = agent.plain()
    assert_same(agent.killed_paying(), expected[:1])
    assert_same(agent.resumed(), expected[1:])
    assert agent.ledger.counts("paid", ALL) == [1, 1, 1, 2, 2]


@ways
@clients(*[name for name in APIS if name in {"openai", "google-genai"}])
def test_what_earlier_runs_left_in_the_memory_reaches_the_provider_as_it_was(agent: Trial) -> None:
    both = ("--runs", "order-17,order-18")
    expected = agent.plain(*both)
    assert len(expected) == 4
    assert_same(agent.killed_asking(4, *both), expected)
    # A new process has nothing in its memory: what was there when the run began is in the run's own record.
    assert_same(agent.resumed("--runs", "order-18"), expected[3:])
    assert agent.ledger.counts("paid", ALL) == [2] * len(ALL)
