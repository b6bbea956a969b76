"""Lives of the LlamaIndex agent in `crash/llamaindex/llama_victim.py`, and what is asked about them in every test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.forked import TESTS, Child, run
from support.ledger import Ledger

VICTIM = TESTS / "crash" / "llamaindex" / "llama_victim.py"
FIVE = range(5)
PAID = [f"paid {i}" for i in FIVE]

#: at the kill: 0, 1 and 2 are recorded, 3 has had its effect and not returned, 4 has begun and done nothing
IN_FLIGHT = ("--hang-after", "3", "--hang-before", "4", "--ready", "5")

modes = pytest.mark.parametrize("mode", ["sync", "async"])
kinds = pytest.mark.parametrize("kind", ["function", "workflow"])
#: where one of each tells as much as every pair
either = pytest.mark.parametrize(("kind", "mode"), [("function", "sync"), ("workflow", "async")])


def child(folder: Path, *args: str) -> Child:
    return Child(VICTIM, str(folder), *args)


def killed(folder: Path, *args: str, word: str = "READY") -> Ledger:
    """A life up to its death, which comes once the process has said the word."""
    with child(folder, *args) as victim:
        victim.await_line(word)
        victim.kill()
    return Ledger(folder / "ledger")


def killed_in_flight(folder: Path, *args: str) -> Ledger:
    ready = ("--ready", "6") if "workflow" in args else ()  # A's own call finishes too
    ledger = killed(folder, *IN_FLIGHT, *args, *ready)
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 0]
    assert ledger.counts("begin", FIVE) == [1, 1, 1, 1, 1]
    return ledger


def resumed(folder: Path, *args: str, life: int = 2) -> Any:
    """A life that ends by itself, without an error."""
    outcome = run(VICTIM, [str(folder), "--life", str(life), *args])
    assert (outcome["result"], outcome["errors"]) == ("done", [])
    return outcome


def told(outcome: Any) -> list[str]:
    """What the model was told of its calls, once it is certain that it was told in the right form: a question's calls are answered
    once each, in their order, right after it.
    """
    heard: list[Any] = outcome["heard"]
    assert heard[0]["role"] == "user"
    assert sum(message["role"] == "user" for message in heard) == 1
    at, texts = 0, list[str]()
    while at < len(heard):
        calls = heard[at]["calls"]
        answers = heard[at + 1 : at + 1 + len(calls)]
        assert [message["answers"] for message in answers] == calls
        assert all(message["role"] == "tool" for message in answers)
        texts = [message["text"] for message in answers] or texts
        at += 1 + len(calls)
        assert at == len(heard) or heard[at]["role"] != "tool"
    return texts


def asked(ledger: Ledger) -> dict[str, int]:
    """How often each answer of each model was asked for."""
    found = [line.removeprefix("model ") for line in ledger.lines() if line.startswith("model ")]
    return {question: found.count(question) for question in found}


def once(kind: str) -> dict[str, int]:
    """Every answer was asked for once."""
    return dict.fromkeys(["A 0", "A 1"] if kind == "function" else ["A 0", "B 1", "B 2"], 1)


def answering(answers: dict[str, Any]) -> tuple[str, str]:
    return "--answers", json.dumps(answers)
