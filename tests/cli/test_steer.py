"""`toolslot takeover` and `toolslot abandon`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.commands import OK, PROBLEM, agent, command, resumed, said
from support.ledger import Ledger

pytestmark = pytest.mark.crash


def batch(home: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(command("show", "order-17", "--json", "--journal", home).stdout)[
        "batches"
    ][0]
    return found


def states(home: Path) -> list[str]:
    calls = batch(home)["calls"]
    assert isinstance(calls, list)
    return [call["state"] for call in calls]


def owners(home: Path) -> list[dict[str, object]]:
    found = batch(home)["owners"]
    assert isinstance(found, list)
    return found


def test_the_batch_of_a_living_owner_is_taken_by_force_only_and_then_it_is_fenced(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    with agent(tmp_path, "--calls", "2", "--hang", "0") as stuck:
        stuck.await_line("HANGING")
        output = said(command("takeover", "order-17", "--why", "stuck", "--journal", home), PROBLEM)
        assert f"process {stuck.pid}" in output
        assert "--force" in output
        assert states(home) == ["running", "succeeded"]
        said(command("takeover", "order-17", "--force", "--why", "stuck", "--by", "ann", "--journal", home))
        assert states(home) == ["unknown", "succeeded"]
        taker = owners(home)[1]
        assert (taker["how"], taker["why"], taker["by"]) == ("forced", "stuck", "ann")
        (tmp_path / "go-on").touch()
        assert stuck.report()[0] == "Fenced"
    assert states(home) == ["unknown", "succeeded"], "what a fenced owner reports changes nothing"


def test_a_dead_owner_needs_no_force_and_the_next_resume_goes_on(folder: Path, home: Path) -> None:
    said(command("takeover", "order-17", "--why", "it died", "--journal", home))
    assert batch(home)["held"] is False
    for index in (3, 4):
        said(command("resolve", "order-17", index, "--rerun", "--why", "x", "--journal", home))
    assert resumed(folder) == [{"receipt": i} for i in range(6)]


def test_where_nobody_holds_a_batch_nothing_is_changed(home: Path) -> None:
    said(command("takeover", "order-17", "--why", "it died", "--journal", home))
    output = said(command("takeover", "order-17", "--why", "again", "--journal", home), OK)
    assert "nothing was changed" in output
    assert len(owners(home)) == 2


def test_nothing_of_an_abandoned_batch_runs_any_more(folder: Path, home: Path) -> None:
    said(command("abandon", "order-17", "--why", "superseded", "--by", "ann", "--journal", home))
    assert batch(home)["state"] == "closed"
    assert (owners(home)[1]["why"], owners(home)[1]["by"]) == ("abandoned: superseded", "ann")
    assert resumed(folder) == [
        {"receipt": 0},
        {"receipt": 1},
        {"receipt": 2},
        "BatchClosed",
        "BatchClosed",
        {"receipt": 5},
    ]
    assert Ledger(folder / "ledger").counts("begin", range(6)) == [1] * 6
    said(command("pending", "--journal", home), OK)


def test_a_batch_that_somebody_works_on_is_not_abandoned(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    with agent(tmp_path, "--calls", "1", "--hang", "0") as living:
        living.await_line("HANGING")
        assert "takeover --force" in said(
            command("abandon", "order-17", "--why", "x", "--journal", home), PROBLEM
        )
        (tmp_path / "go-on").touch()
        assert living.report() == [{"receipt": 0}]


def test_one_batch_can_be_abandoned_alone(folder: Path, home: Path) -> None:
    assert "no batch 'step-9'" in said(
        command("abandon", "order-17", "--batch", "step-9", "--why", "x", "--journal", home), PROBLEM
    )
    assert batch(home)["closed"] is False
    said(command("abandon", "order-17", "--batch", "step-1", "--why", "x", "--journal", home))
    assert "nothing was changed" in said(command("abandon", "order-17", "--why", "x", "--journal", home))
