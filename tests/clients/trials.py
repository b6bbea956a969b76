"""One agent, asked through one provider class: its life without us, and its lives with a death between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.loopback import Api, Loopback, Request
from clients.script import CALLS
from support.forked import Child, run
from support.ledger import Ledger

ALL = range(CALLS)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The same agent again and again, in processes of their own, with one provider."""

    script: Path
    client: str
    streamed: bool
    server: Loopback
    folder: Path

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger")

    def plain(self, *args: str) -> list[Request]:
        """What the framework alone asks, and never dies."""
        folder = self.folder / "plain"
        folder.mkdir()
        run(self.script, self._args(folder, "--plain", *args))
        assert self.server.refused == [], "the plain agent is taken"
        return self.server.take()

    def killed_asking(self, number: int, *args: str) -> list[Request]:
        """A life that ends while the provider thinks about the question of this number (from 1)."""
        self.server.hold(number)
        with Child(self.script, *self._args(self.folder, *args)) as victim:
            victim.await_sign(self.server.holding)
            victim.kill()
        return self.server.take()

    def killed_paying(self, *args: str) -> list[Request]:
        """A life that ends among the calls: three are recorded, two have paid and not returned."""
        with Child(self.script, *self._args(self.folder, "--hang", "3,4", *args)) as victim:
            victim.await_line("READY")
            victim.kill()
        return self.server.take()

    def resumed(self, *args: str) -> list[Request]:
        """A life that ends by itself."""
        run(self.script, self._args(self.folder, *args))
        assert self.server.refused == []
        return self.server.take()

    def _args(self, folder: Path, *args: str) -> Sequence[str]:
        return [str(folder), self.server.url, self.client, *(["--streamed"] if self.streamed else []), *args]


@contextmanager
def trial(script: Path, client: str, streamed: bool, api: Api, folder: Path) -> Iterator[Trial]:
    with Loopback(api).serving() as server:
        yield Trial(script=script, client=client, streamed=streamed, server=server, folder=folder)


def shown(requests: Sequence[Request]) -> Any:
    """Requests in a form in which pytest shows where two lists of them differ."""
    return [(request.path, request.json) for request in requests]


def assert_same(found: Sequence[Request], expected: Sequence[Request]) -> None:
    """Byte for byte."""
    assert shown(found) == shown(expected)
    assert [request.body for request in found] == [request.body for request in expected]
