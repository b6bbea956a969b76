"""`toolslot resolve` of calls with an effect key, and how `show` tells of those that did not run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.commands import NEEDS_DECISION, OK, PROBLEM, agent, command, killed, resumed, said
from cli.effects import invoice, paid
from toolslot import (
    Batch,
    BatchKey,
    Call,
    DiskJournal,
    Done,
    DurableExecutor,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot import resolve as settle

KEYED = ("--effect-key", "i")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A payment has failed, perhaps after it was made; the agent was told so."""
    path = tmp_path / "journal"
    paid(path, invoice("breaks"))
    return path


def resolve(home: Path, call: object, *args: object, run: str = "order-17") -> Result:
    return command(
        "resolve", run, call, *args, "--why", "the bank's ledger", "--by", "ann", "--journal", home
    )


def call(home: Path, index: int = 0, run: str = "order-17") -> dict[str, Any]:
    shown = json.loads(command("show", run, "--json", "--reveal", "--journal", home).stdout)
    found: dict[str, Any] = shown["batches"][0]["calls"][index]
    return found


def again(home: Path) -> Any:
    (found,) = paid(home, invoice("breaks"), run="again")
    return found


def test_a_failure_with_an_effect_key_may_be_told_done(home: Path) -> None:
    output = said(resolve(home, 0, "--done", '"receipt 9"'))
    assert "is succeeded now, says ann. The next call with its effect key gets this result." in output
    assert again(home) == "receipt 9"


def test_a_word_that_fits_several_calls_means_the_one_that_may_be_decided(home: Path) -> None:
    paid(home, invoice(4711), batch="step-2")
    assert "call step-1#0" in said(resolve(home, 0, "--rerun"))
    assert "names 2 calls" in said(resolve(home, 0, "--rerun"), PROBLEM)


def test_a_failure_with_an_effect_key_may_be_told_not_done(home: Path) -> None:
    before = call(home)["idempotency_key"]
    assert "The next call with its effect key runs." in said(resolve(home, 0, "--rerun"))
    assert type(again(home)).__name__ == "Broke"
    assert call(home, run="again")["idempotency_key"] == before


def test_a_failure_without_an_effect_key_is_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    policy = ToolPolicy(on_unknown="fail", on_failed="replay")
    paid(home, invoice("breaks"), policy=policy)
    assert "nothing to decide" in said(resolve(home, 0, "--done", "1"), PROBLEM)


def test_a_stale_version_is_refused_there_too(home: Path) -> None:
    version = call(home)["version"]
    said(resolve(home, 0, "--done", "1", "--version", version - 1), PROBLEM)
    said(resolve(home, 0, "--done", "1", "--version", version + 1), PROBLEM)
    said(resolve(home, 0, "--done", "1", "--version", version))


def test_one_that_waits_is_refused_and_the_call_that_it_waits_for_is_named(home: Path) -> None:
    assert isinstance(again(home), UnknownOutcome)
    output = said(resolve(home, 0, "--rerun", run="again"), PROBLEM)
    assert "nothing to decide" in output
    assert "call 0 of batch order-17/step-1, failed (toolslot resolve order-17 'step-1#0')" in output


def test_one_that_waits_for_nothing_is_told_of_nothing(home: Path) -> None:
    said(resolve(home, 0, "--rerun"))
    output = said(resolve(home, 0, "--rerun"), PROBLEM)
    assert "nothing to decide" in output
    assert "It may wait" not in output


@pytest.mark.crash
def test_one_left_by_the_dead_is_decided_without_taking_its_batch(tmp_path: Path) -> None:
    home = killed(tmp_path, *KEYED, "--calls", "2", hang="1")
    pending = said(command("pending", "--journal", home), NEEDS_DECISION)
    version = pending.partition("--version ")[2].split()[0]
    said(resolve(home, call(home, 1)["idempotency_key"], "--done", '"by hand"', "--version", version))
    owners = said(command("show", "order-17", "--journal", home), OK)
    assert "owner 2" not in owners
    assert resumed(tmp_path, *KEYED, "--calls", "2") == [{"receipt": 0}, "by hand"]


@pytest.mark.crash
def test_one_of_a_closed_batch_is_decided_for_the_call_that_asks_again(tmp_path: Path) -> None:
    home = killed(tmp_path, *KEYED, "--calls", "1", hang="0")
    said(command("abandon", "order-17", "--why", "superseded", "--journal", home))
    assert resumed(tmp_path, *KEYED, "--calls", "1", "--run", "again") == ["UnknownOutcome"]
    output = said(resolve(home, 0, "--rerun", run="again"), PROBLEM)
    assert "call 0 of batch order-17/step-1, unknown" in output
    output = said(resolve(home, 0, "--rerun"))
    assert "The next call with its effect key runs." in output
    assert resumed(tmp_path, *KEYED, "--calls", "1", "--run", "again") == [{"receipt": 0}]


@pytest.mark.crash
def test_one_that_a_living_process_is_at_is_not_decided(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    with agent(tmp_path, *KEYED, "--calls", "1", "--hang", "0") as living:
        living.await_line("HANGING")
        assert "is running, not unknown" in said(resolve(home, 0, "--rerun"), PROBLEM)


@pytest.mark.crash
def test_who_was_asked_about_a_dead_processes_call_answers_with_the_version_of_the_question(
    tmp_path: Path,
) -> None:
    home = killed(tmp_path, *KEYED, "--calls", "1", hang="0")
    asked = Batch(run_id="again", batch_id="b", calls=[Call(tool="pay", args={"i": 0})])
    with DiskJournal.open(home) as journal:
        executor = DurableExecutor(journal, policies={"pay": ToolPolicy(effect_key="i")}, hooks=[])
        with pytest.raises(UnknownOutcome) as stopped:
            executor.run_all(asked, {"pay": str})
        question = stopped.value
        decided = settle(
            journal,
            BatchKey(question.run_id, question.batch_id),
            question.index,
            Done("by hand"),
            by="ann",
            why="x",
            version=question.version,
        )
        assert decided.state.value == "succeeded"
        assert executor.run_all(asked, {"pay": str}) == ["by hand"]


def test_one_that_waits_is_told_of_a_tool_that_has_its_effects_by_another_name(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    paid(home, invoice("breaks"), policy=ToolPolicy(effect_key="invoice", effect_name="payment"))
    policy = ToolPolicy(effect_key="invoice", effect_name="payment")
    assert isinstance(paid(home, invoice("breaks"), policy=policy, run="again")[0], UnknownOutcome)
    assert "call 0 of batch order-17/step-1, failed" in said(
        resolve(home, 0, "--rerun", run="again"), PROBLEM
    )


# --- what is shown ------------------------------------------------------------------------------------------------------


def test_a_call_that_got_the_result_of_another_says_of_which(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    paid(home, invoice(4711))
    paid(home, invoice(4711), run="again")
    key = call(home)["idempotency_key"]
    follower = call(home, run="again")
    assert (follower["idempotency_key"], follower["keyed"], follower["attempt"]) == (key, True, 0)
    assert follower["result_of"]["run_id"] == "order-17"
    output = said(command("show", "again", "--journal", home))
    assert "result of call 0 of batch order-17/step-1" in output
    assert f"#0 idempotency key: {key}" in output
    assert "0 S pay  " in output
    assert "○" in output
    (summary,) = (run for run in _json("runs", home) if run["run_id"] == "again")
    assert (summary["deduplicated"], summary["state"]) == (1, "closed")


def test_a_call_that_was_refused_says_why(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    paid(home, invoice(4711, amount=100))
    paid(home, invoice(4711, amount=120), run="again")
    output = said(command("show", "again", "--reveal", "--journal", home))
    assert "refused, not run, EffectConflict" in output
    assert "has the same effect key with other arguments" in output
    assert "has the same effect key" not in said(command("show", "again", "--journal", home))
    assert call(home, run="again")["refused"] is True


def test_the_page_tells_of_both(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    paid(home, invoice(4711, amount=100), invoice(4711, amount=100), invoice(4711, amount=120))
    said(command("html", "order-17", "-o", tmp_path / "run.html", "--journal", home))
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "succeeded: result of call 0 of batch order-17/step-1, nothing ran" in page
    assert "failed: refused, nothing ran" in page
    assert 'class="mark deduplicated succeeded"' in page
    assert 'class="mark refused failed"' in page
    assert "2 not run, for their effect keys" in page


def _json(name: str, home: Path) -> Any:
    return json.loads(command(name, "--json", "--journal", home).stdout)
