"""One agent, asked through one provider class: its life without us, and its lives with a death between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clients.loopback import Loopback, Request
from clients.script import ANSWERS, CALLS, ROUNDS
from support.forked import Child, run
from support.ledger import Ledger

ALL = range(ROUNDS * CALLS)
BOTH = ("--runs", "order-17,order-18")

#: what the frameworks alone have asked, by script, client, way and arguments: it is the same in every test
_plain: dict[tuple[object, ...], list[Request]] = {}


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
        key = (self.script, self.client, self.streamed, args)
        if key not in _plain:
            folder = self.folder / "plain"
            folder.mkdir()
            run(self.script, self._args(folder, "--plain", *args))
            assert self.server.refused == [], "the plain agent is taken"
            _plain[key] = self.server.take()
        return _plain[key]

    def killed_asking(self, number: int, *args: str) -> list[Request]:
        """A life that ends while the provider thinks about the question of this number (from 1)."""
        self.server.hold(number)
        with Child(self.script, *self._args(self.folder, *args)) as victim:
            victim.await_sign(self.server.holding)
            victim.kill()
        return self.server.take()

    def killed_paying(self, *args: str) -> list[Request]:
        """A life that ends among the last calls: three are recorded, two have paid and not returned."""
        with Child(self.script, *self._args(self.folder, "--hang", "8,9", *args)) as victim:
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


def shown(requests: Sequence[Request]) -> Any:
    """Requests in a form in which pytest shows where two lists of them differ."""
    return [(request.path, request.json) for request in requests]


def assert_same(found: Sequence[Request], expected: Sequence[Request]) -> None:
    """Byte for byte."""
    assert shown(found) == shown(expected)
    assert [request.body for request in found] == [request.body for request in expected]


class Rules:
    """What holds with every provider class; `agent` is a fixture of the class that inherits this."""

    def test_killed_while_the_model_reads_the_results_it_is_asked_the_same_again(self, agent: Trial) -> None:
        expected = agent.plain()
        assert len(expected) == ANSWERS
        assert_same(agent.killed_asking(2), expected[:2])
        assert_same(agent.resumed(), expected[1:])
        assert agent.ledger.counts("paid", ALL) == [1] * len(ALL)

    def test_killed_among_the_calls_the_model_reads_the_results_as_if_nothing_had_happened(
        self, agent: Trial
    ) -> None:
        expected = agent.plain()
        assert_same(agent.killed_paying(), expected[:-1])
        assert_same(agent.resumed(), expected[-1:])
        assert agent.ledger.counts("paid", ALL) == [1] * (len(ALL) - 2) + [2, 2]

    def test_what_earlier_runs_left_reaches_the_provider_as_it_was(self, agent: Trial) -> None:
        expected = agent.plain(*BOTH)
        assert len(expected) == 2 * ANSWERS
        assert_same(agent.killed_asking(ANSWERS + 2, *BOTH), expected[:-1])
        # A new LlamaIndex process has nothing in its memory: what was there when the run began is in the run's own record.
        assert_same(agent.resumed("--runs", "order-18"), expected[-2:])
        assert agent.ledger.counts("paid", ALL) == [2] * len(ALL)


def clients(*names: str) -> pytest.MarkDecorator:
    """Each class, streamed as agents do by default, and not."""
    return pytest.mark.parametrize(
        ("client", "streamed"),
        [
            pytest.param(name, way == "streamed", id=f"{name}-{way}")
            for name in names
            for way in ("streamed", "whole")
        ],
    )
