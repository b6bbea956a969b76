"""`toolslot resolve`: a person's decision, and the agent that goes on with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from cli.commands import CANNOT_RUN, OK, PROBLEM, agent, command, key_of, killed, resumed, said
from support.ledger import Ledger

pytestmark = pytest.mark.crash


def resolve(home: Path, call: object, *args: object, why: str = "the bank's ledger") -> Result:
    return command("resolve", "order-17", call, *args, "--why", why, "--by", "ann", "--journal", home)


def call(home: Path, index: int) -> dict[str, object]:
    shown = json.loads(command("show", "order-17", "--json", "--reveal", "--journal", home).stdout)
    found: dict[str, object] = shown["batches"][0]["calls"][index]
    return found


def test_the_resumed_agent_gets_what_was_decided_and_runs_only_what_may_run(folder: Path, home: Path) -> None:
    ledger = Ledger(folder / "ledger")
    said(resolve(home, 3, "--done", '{"receipt": "by hand"}'))
    said(resolve(home, 4, "--rerun"))
    assert resumed(folder) == [
        {"receipt": 0},
        {"receipt": 1},
        {"receipt": 2},
        {"receipt": "by hand"},
        {"receipt": 4},
        {"receipt": 5},
    ]
    assert ledger.counts("begin", range(6)) == [1, 1, 1, 1, 2, 1]


def test_a_decided_failure_is_the_calls_error(folder: Path, home: Path) -> None:
    said(resolve(home, 3, "--failed", "the account is closed"))
    said(resolve(home, 4, "--done", "null"))
    assert resumed(folder)[3:5] == ["ToolFailed", None]


def test_a_decision_is_journaled_with_who_when_and_why(home: Path) -> None:
    said(resolve(home, 3, "--done", "1"))
    decision = call(home, 3)["decision"]
    assert isinstance(decision, dict)
    assert (decision["by"], decision["why"], decision["verdict"]) == ("ann", "the bank's ledger", "done")
    assert isinstance(decision["at"], float)


def test_who_decides_is_the_user_unless_somebody_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "bob")
    said(command("resolve", "order-17", 3, "--rerun", "--why", "x", "--journal", home))
    assert str(call(home, 3)["decision"]).count("bob@") == 1


@pytest.mark.parametrize("name", ["index", "place", "key", "call id"])
def test_a_call_is_named_by_index_place_key_or_call_id(name: str, home: Path) -> None:
    word = {"index": "4", "place": "step-1#4", "key": key_of(home, 4), "call id": "call_4"}[name]
    said(resolve(home, word, "--done", "1"))
    assert call(home, 4)["state"] == "succeeded"
    assert call(home, 3)["state"] == "unknown"


def test_a_name_that_fits_two_calls_is_refused_with_their_places(folder: Path, home: Path) -> None:
    killed(folder, "--batch", "step-2")
    output = said(resolve(home, "3", "--done", "1"), PROBLEM)
    assert "step-1#3, step-2#3" in output
    said(resolve(home, "step-2#3", "--done", "1"))
    said(resolve(home, "3", "--done", "1"), OK)  # now it fits one that needs a decision


def test_a_name_that_fits_no_call_is_refused(home: Path) -> None:
    assert "has no call 'call_9'" in said(resolve(home, "call_9", "--done", "1"), PROBLEM)


def test_a_decision_on_another_version_is_refused(home: Path) -> None:
    version = call(home, 3)["version"]
    assert isinstance(version, int)
    said(resolve(home, 3, "--done", "1", "--version", version - 1), PROBLEM)
    assert call(home, 3)["state"] == "unknown"
    said(resolve(home, 3, "--done", "1", "--version", version))


def test_a_refused_decision_changes_nothing(home: Path) -> None:
    before = command("export", "--reveal", "--journal", home).stdout
    said(resolve(home, 3, "--done", "1", "--version", 0), PROBLEM)
    said(resolve(home, 0, "--done", "1"), PROBLEM)
    assert command("export", "--reveal", "--journal", home).stdout == before


def test_a_second_decision_is_refused_and_names_the_first(home: Path) -> None:
    said(resolve(home, 3, "--done", "1"))
    output = said(resolve(home, 3, "--done", "1"), PROBLEM)
    assert "ann has decided (done)" in output


def test_the_batch_of_a_living_owner_is_not_taken_from_it(tmp_path: Path) -> None:
    """The first process leaves call 0 unknown; the second works on call 1 while a person settles call 0."""
    home = killed(tmp_path, "--calls", "2", hang="0,1")
    said(resolve(home, 1, "--rerun"))
    with agent(tmp_path, "--calls", "2", "--hang", "1", "--ready", "1") as living:
        living.await_line("HANGING")
        said(resolve(home, 0, "--done", '"by hand"'))
        assert call(home, 1)["state"] == "running"
        (tmp_path / "go-on").touch()
        assert living.report()[1] == {"receipt": 1}
    assert resumed(tmp_path, "--calls", "2") == ["by hand", {"receipt": 1}]


def test_json_may_stand_in_a_file(home: Path, tmp_path: Path) -> None:
    (tmp_path / "receipt.json").write_text('{"receipt": "ü"}', encoding="utf-8")
    said(resolve(home, 3, "--done", f"@{tmp_path / 'receipt.json'}"))
    assert call(home, 3)["result"] == '{"receipt": "ü"}'


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ((), "one of --done, --failed and --rerun"),
        (("--done", "1", "--rerun"), "one of --done, --failed and --rerun"),
        (("--done", "receipt"), "--done '\"receipt 4711\"'"),
        (("--done", "NaN"), "not JSON"),
        (("--done", "@/nowhere/file"), "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_read(
    options: tuple[str, ...], hint: str, tmp_path: Path
) -> None:
    assert hint in said(resolve(tmp_path / "none", 3, *options), CANNOT_RUN)


def test_what_happened_between_looking_and_deciding_is_not_decided_over(folder: Path, home: Path) -> None:
    """The agent was resumed meanwhile, was told to run the call, and died in it again: that is another question."""
    version = call(home, 3)["version"]
    said(resolve(home, 3, "--rerun"))
    killed(folder, "--ready", "1", hang="3")
    output = said(resolve(home, 3, "--done", "1", "--version", version), PROBLEM)
    assert "recorded meanwhile" in output
    assert call(home, 3)["attempt"] == 2


def test_a_call_of_a_closed_batch_cannot_run_again_but_can_be_told(home: Path) -> None:
    said(command("abandon", "order-17", "--why", "superseded", "--journal", home))
    assert "closed" in said(resolve(home, 3, "--rerun"), PROBLEM)
    said(resolve(home, 3, "--failed", "never arrived"))
