"""LlamaIndex with the provider classes that people use: after a death the provider is asked what it would have been asked without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.loopback import Loopback
from clients.providers import APIS
from clients.trials import Rules, Trial, clients
from support.forked import TESTS

pytestmark = pytest.mark.crash

SCRIPT = TESTS / "clients" / "llama_client.py"


@clients(*APIS)
class TestLlamaIndex(Rules):
    """A `FunctionAgent` that `durable` made a copy of."""

    @pytest.fixture
    def agent(self, client: str, streamed: bool, tmp_path: Path) -> Iterator[Trial]:
        with Loopback(APIS[client]()).serving() as server:
            yield Trial(script=SCRIPT, client=client, streamed=streamed, server=server, folder=tmp_path)
