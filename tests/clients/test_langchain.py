"""LangChain's agents with the provider classes that people use: after a death the provider is asked what it would have been asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.loopback import Loopback
from clients.providers import APIS
from clients.trials import Rules, Trial, clients
from support.forked import TESTS

pytestmark = pytest.mark.crash

SCRIPT = TESTS / "clients" / "chain_client.py"


@pytest.fixture
def agent(client: str, streamed: bool, tmp_path: Path) -> Iterator[Trial]:
    with Loopback(APIS[client]()).serving() as server:
        yield Trial(script=SCRIPT, client=client, streamed=streamed, server=server, folder=tmp_path)


@clients("openai", "openai-responses", "anthropic", "google-genai")
class TestLangChain(Rules):
    """An agent of `create_agent` that `make_durable` was given, with a saver in a file."""
