"""A real agent is killed while a payment is in flight; the process that resumes it has other tools, or something around its calls."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.ledger import Ledger
from support.lives import DOORS, answering, child, questions, resumed

pytestmark = pytest.mark.crash

#: what the first life has, and what the second
DEPLOYS: dict[str, tuple[list[str], list[str]]] = {
    "a tool removed": (["--served", "pay,note"], ["--served", "pay"]),
    "a tool renamed": (["--served", "pay,note"], ["--served", "pay,memo"]),
    "a tool added": (["--served", "pay,note"], ["--served", "pay,note,more"]),
    "a called tool added": (["--served", "pay"], ["--served", "pay,note"]),
    "a wrapper added": (["--served", "pay,note"], ["--served", "pay,note", "--wrapped"]),
    "a wrapper removed": (["--served", "pay,note", "--wrapped"], ["--served", "pay,note"]),
    "the tool removed": (["--served", "pay,note"], ["--served", "note"]),
    "the tool removed and a wrapper added": (["--served", "pay,note"], ["--served", "note", "--wrapped"]),
}


def in_flight(folder: Path, *args: str) -> Ledger:
    """The first life, up to its death: the payment was made and has not returned, the note is answered."""
    asking = ("--calls", "1", "--with-note", "--hang-after", "0", "--ready", "2", "--counting", "failed")
    with child(folder, *asking, *args) as first:
        first.await_line("READY")
        first.kill()
        assert first.returncode == -signal.SIGKILL
    ledger = Ledger(folder / "ledger")
    assert ledger.count("effect", 0) == 1
    return ledger


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("deploy", DEPLOYS)
def test_after_a_deploy_a_payment_in_flight_is_asked_about_and_never_made_twice(
    tmp_path: Path, door: str, deploy: str
) -> None:
    before, after = DEPLOYS[deploy]
    args = ("--door", door, "--policy", "ask", "--calls", "1", "--with-note")
    ledger = in_flight(tmp_path, *args, *before)
    outcome = resumed(tmp_path, *args, *after)
    assert [*questions(outcome)] == ["call-0"]
    answer = answering(outcome, {"call-0": {"done": "paid by hand"}})
    answers = resumed(tmp_path, *args, *after, *answer)["answers"]
    assert answers[0] == "paid by hand"
    assert ledger.count("effect", 0) == 1
    assert ledger.count("note", 0) == ("note" in before[1])
    assert ledger.count("model") == 1


@pytest.mark.parametrize("door", ["node", "agent+make_durable", "agent+middleware"])
@pytest.mark.parametrize("policy", ["fail", "reconcile", "default"])
def test_whatever_the_policy_a_payment_whose_tool_is_gone_is_never_made_twice(
    tmp_path: Path, door: str, policy: str
) -> None:
    before, after = DEPLOYS["the tool removed"]
    args = ("--door", door, "--policy", policy, "--calls", "1", "--with-note", "--mode", "async")
    ledger = in_flight(tmp_path, *args, *before)
    outcome = resumed(tmp_path, *args, *after)
    if policy == "fail":
        assert outcome["error"] == "UnknownOutcome"
    elif policy == "reconcile":
        assert outcome["answers"][0] == "paid 0"
    else:
        assert [*questions(outcome)] == ["call-0"]
    assert ledger.count("effect", 0) == 1
