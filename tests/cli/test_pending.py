"""`toolslot pending`: what needs a decision, and the line that settles it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cli.commands import NEEDS_DECISION, OK, PROBLEM, answer, command, key_of, killed, said
from toolslot import Batch, Call, CallTimedOut, DiskJournal, DurableExecutor, ToolPolicy, current_call

pytestmark = pytest.mark.crash


def typed(line: str, **replacing: str) -> list[str]:
    """The words of a printed command as bash reads them, and what a person puts in for the capitals."""
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True
    ).stdout.decode(errors="surrogateescape")
    return [replacing.get(word, word) for word in words.split("\0")[:-1]]


def line_of(output: str) -> str:
    return next(line.partition("settle it")[2].strip() for line in output.splitlines() if "settle it" in line)


def test_every_call_of_unknown_outcome_is_named_with_its_idempotency_key(dead: Path) -> None:
    output = said(command("pending", "--journal", dead), NEEDS_DECISION)
    assert [output.count(key_of(dead, index)) > 0 for index in range(6)] == [
        False,
        False,
        False,
        True,
        True,
        False,
    ]
    assert "owner died" in output
    assert "no process works on it" in output


def test_the_lines_that_are_printed_settle_the_calls_when_they_are_typed(home: Path) -> None:
    output = said(command("pending", "--journal", home), NEEDS_DECISION)
    lines = [line.partition("settle it")[2] for line in output.splitlines() if "settle it" in line]
    assert len(lines) == 2
    for line in lines:
        program, *words = typed(line, TEXT="the bank says so", JSON='"receipt"')
        assert program == "toolslot"
        said(command(*words))
    assert said(command("pending", "--journal", home), OK) == "nothing needs a decision\n"


@pytest.mark.parametrize("run", ["-rf", "a b'c", "line\nbreak\x1b[31m", "\u202eright to left", "näme"])
def test_the_line_holds_for_any_name_of_a_run(run: str, tmp_path: Path) -> None:
    home = killed(tmp_path, f"--run={run}", "--calls", "1", hang="0")
    output = said(command("pending", "--journal", home), NEEDS_DECISION)
    _, *words = typed(line_of(output), TEXT="why", JSON="1")
    said(command(*words))


def test_json_has_the_line_too(dead: Path) -> None:
    found = answer(command("pending", "order-17", "--json", "--journal", dead), NEEDS_DECISION)
    assert [each["call"]["index"] for each in found] == [3, 4]
    assert all(shlex.split(each["command"])[:2] == ["toolslot", "resolve"] for each in found)


def test_arguments_are_shown_when_they_are_asked_for(dead: Path) -> None:
    assert '{"i": 3}' not in said(command("pending", "--journal", dead), NEEDS_DECISION)
    assert '{"i": 3}' in said(command("pending", "--args", "--journal", dead), NEEDS_DECISION)


def test_a_run_that_is_not_there_is_not_taken_for_one_without_questions(dead: Path) -> None:
    said(command("pending", "order-18", "--journal", dead), PROBLEM)


def test_the_exit_code_is_that_of_a_real_process_too(dead: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolslot", "pending", "--json", "--journal", str(dead)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == NEEDS_DECISION, done.stderr
    assert len(json.loads(done.stdout)) == 2


def test_what_the_call_has_noted_is_there_for_the_person_who_decides(tmp_path: Path) -> None:
    journal = DiskJournal.open(tmp_path / "journal")
    executor = DurableExecutor(
        journal, policies={"order": ToolPolicy(on_unknown="ask", timeout=0.05)}, hooks=[]
    )
    go_on = threading.Event()

    def order() -> None:
        current_call().note("order placed", ref="4711")
        go_on.wait(20)

    with pytest.raises(CallTimedOut):
        executor.run_all(Batch(run_id="order-17", batch_id="b", calls=[Call(tool="order")]), {"order": order})
    try:
        output = said(command("pending", "--journal", tmp_path / "journal"), NEEDS_DECISION)
    finally:
        go_on.set()
        journal.close()
    assert "noted       order placed [4711]" in output
