"""LlamaIndex with the provider classes that people use: after a death the provider is asked what it would have been asked without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.loopback import Loopback
from clients.providers import APIS
from clients.script import ANSWERS
from clients.trials import ALL, BOTH, Rules, Trial, assert_same, clients
from support.forked import TESTS

pytestmark = pytest.mark.crash

SCRIPT = TESTS / "clients" / "llama_client.py"


@pytest.fixture
def agent(client: str, streamed: bool, tmp_path: Path) -> Iterator[Trial]:
    with Loopback(APIS[client]()).serving() as server:
        yield Trial(script=SCRIPT, client=client, streamed=streamed, server=server, folder=tmp_path)


@clients(*APIS)
class TestLlamaIndex(Rules):
    """A `FunctionAgent` that `durable` made a copy of, with its messages in the process."""


# Not google-genai: LlamaIndex itself cannot store the bytes of its signatures in a database.
@clients("openai", "anthropic", "mistralai")
@pytest.mark.parametrize("number", [ANSWERS + 1, ANSWERS + 2], ids=["first question", "second question"])
def test_with_a_memory_in_a_database_a_later_run_is_asked_the_same_again(agent: Trial, number: int) -> None:
    stored = ("--stored", *BOTH)
    expected = agent.plain(*stored)
    assert len(expected) == 2 * ANSWERS
    assert_same(agent.killed_asking(number, *stored), expected[:number])
    assert_same(agent.resumed("--stored", "--runs", "order-18"), expected[number - 1 :])
    assert agent.ledger.counts("paid", ALL) == [2] * len(ALL)
