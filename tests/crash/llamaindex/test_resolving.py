"""A LlamaIndex agent that was killed, and a person who settles its calls with `toolslot resolve`, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llama_index.core")

from crash.llamaindex.lives import (
    FIVE,
    PAID,
    answering,
    child,
    either,
    killed,
    killed_in_flight,
    resumed,
    told,
)
from support.ledger import Ledger
from support.resolving import pending, resolve

pytestmark = pytest.mark.crash


@either
def test_what_was_decided_before_the_resume_reaches_the_model_and_nothing_is_asked(
    tmp_path: Path, kind: str, mode: str
) -> None:
    args = ("--kind", kind, "--mode", mode, "--policy", "ask")
    ledger = killed_in_flight(tmp_path, *args)
    paid, unpaid = (call["idempotency_key"] for call in pending(tmp_path))
    resolve(tmp_path, paid, "--done", '{"receipt": 4711}')
    resolve(tmp_path, unpaid, "--rerun")
    outcome = resumed(tmp_path, *args)
    assert outcome["questions"] == []
    assert told(outcome) == [*PAID[:3], "{'receipt': 4711}", PAID[4]], "as a tool that returns this dict"
    assert ledger.counts("effect", FIVE) == [1, 1, 1, 1, 1]


def test_what_was_decided_after_the_question_was_put_ends_the_question(tmp_path: Path) -> None:
    args = ("--policy", "ask")
    killed_in_flight(tmp_path, *args)
    killed(tmp_path, "--life", "2", *args, word="ASKED")
    resolve(tmp_path, "call-0-3", "--failed", "the account is closed")
    resolve(tmp_path, "call-0-4", "--done", '"by hand"')
    outcome = resumed(tmp_path, *args, life=3)
    assert outcome["questions"] == []
    assert "the account is closed" in told(outcome)[3]
    assert told(outcome)[4] == "by hand"


def test_a_run_that_waits_for_its_answers_keeps_its_batch_and_takes_no_answer_to_what_was_decided_meanwhile(
    tmp_path: Path,
) -> None:
    args = ("--policy", "ask")
    killed_in_flight(tmp_path, *args)
    answers = answering({"call-0-3": "rerun", "call-0-4": "rerun"})
    with child(tmp_path, "--life", "2", *args, *answers, "--await-release") as living:
        living.await_line("ASKED")
        resolve(tmp_path, "call-0-3", "--done", '"by hand"')
        (tmp_path / "release").touch()
        outcome = living.report()
    assert told(outcome) == [*PAID[:3], "by hand", PAID[4]]
    assert Ledger(tmp_path / "ledger").counts("effect", FIVE) == [1, 1, 1, 1, 1]
