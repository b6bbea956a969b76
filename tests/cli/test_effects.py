"""`toolslot effects`: what calls with an effect key have done."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest

from cli.commands import answer, command, in_terminal, killed, said
from cli.effects import BY_INVOICE, invoice, paid
from toolslot import Encryption, ToolPolicy


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """4711 was paid twice by different names, one with a text as its key."""
    path = tmp_path / "journal"
    paid(path, invoice(4711), invoice("4711"), invoice("INV 1"))
    return path


def listed(home: Path, *args: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer(command("effects", "--json", "--journal", home, *args))
    return found


def test_each_is_listed_with_its_key_its_state_and_who_holds_it(home: Path) -> None:
    output = said(command("effects", "--journal", home))
    for line in ("pay  4711  done", 'pay  "4711"  done', 'pay  "INV 1"  done'):
        assert line in output
    assert "call 1 of batch order-17/step-1" in output
    assert all(each["idempotency_key"] in output for each in listed(home))


def test_json_tells_numbers_from_texts_and_has_all_of_it(home: Path) -> None:
    found = {each["key_text"]: each for each in listed(home)}
    assert [found[text]["key"] for text in ("4711", '"4711"', '"INV 1"')] == [[4711], ["4711"], ["INV 1"]]
    effect = found["4711"]
    assert effect["holder"] == {
        "run_id": "order-17",
        "batch_id": "step-1",
        "index": 0,
        "generation": 1,
    }
    assert effect["idempotency_key"].startswith("ts_")
    assert (effect["tool"], effect["state"], effect["run_id"]) == ("pay", "done", None)
    assert (effect["claims"], effect["forgotten"], effect["purged"]) == (1, [], False)


def test_the_newest_come_first(home: Path) -> None:
    paid(home, invoice(1), batch="step-2")
    assert listed(home)[0]["key"] == [1]


def test_a_key_of_several_parts_is_several_words(home: Path) -> None:
    policy = ToolPolicy(effect_key=("account", "invoice"))
    paid(home, invoice(7, account="A-1"), policy=policy, tool="book", batch="step-2")
    assert "book  A-1 7  done" in said(command("effects", "--journal", home, "--tool", "book"))


def test_only_effects_of_a_tool_or_in_a_state(home: Path) -> None:
    paid(home, invoice("breaks"), batch="step-2", tool="refund")
    assert {each["tool"] for each in listed(home, "--tool", "pay")} == {"pay"}
    assert [each["tool"] for each in listed(home, "--state", "failed")] == ["refund"]
    assert "no such effect" in said(command("effects", "--journal", home, "--tool", "nix"))


def test_an_effect_of_one_run_names_it(home: Path) -> None:
    paid(home, invoice(5), batch="step-2", policy=ToolPolicy(effect_key="invoice", effect_scope="run"))
    assert listed(home)[0]["run_id"] == "order-17"
    assert "only in run     order-17" in said(command("effects", "--journal", home))


def test_after_a_purge_it_is_there_without_its_record(home: Path) -> None:
    said(command("purge", "order-17", "--journal", home))
    assert [(each["state"], each["purged"]) for each in listed(home)] == [("done", True)] * 3
    assert "done, purged" in said(command("effects", "--journal", home))


def test_a_journal_without_any_says_so(tmp_path: Path) -> None:
    paid(tmp_path / "journal", invoice(1), policy=ToolPolicy())
    assert "no call with an effect key in" in said(command("effects", "--journal", tmp_path / "journal"))


def test_without_the_journals_key_names_and_states_are_shown(tmp_path: Path) -> None:
    key = Encryption.new_key()
    home = tmp_path / "journal"
    paid(home, invoice(4711), encryption=Encryption([urlsafe_b64decode(key)]))
    hidden = command("effects", "--journal", home, env={"TOOLSLOT_KEY": None})
    assert "pay  (encrypted)  done" in said(hidden)
    (effect,) = listed(home)
    assert (effect["key"], effect["key_text"]) == (None, "(encrypted)")
    shown = command("effects", "--journal", home, env={"TOOLSLOT_KEY": key})
    assert "pay  4711  done" in said(shown)


def test_a_long_key_is_cut_and_one_that_misleads_is_written_out(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    paid(home, invoice("x" * 900), invoice("a\x1b[31m\u202e\nb"), policy=BY_INVOICE)
    output = said(command("effects", "--journal", home))
    assert "… (cut)" in output
    assert '"a\\u001b[31m\\u202e\\nb"' in output
    assert sorted(each["key"] is None for each in listed(home)) == [False, True]


def test_it_fits_a_terminal(home: Path) -> None:
    lines = said(in_terminal("effects", "--journal", home, NO_COLOR="1")).splitlines()
    assert lines
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.crash
def test_what_a_dead_agent_had_begun_is_unknown(tmp_path: Path) -> None:
    home = killed(tmp_path, "--effect-key", "i")
    states = {each["key"][0]: each["state"] for each in listed(home)}
    assert states == {0: "done", 1: "done", 2: "done", 3: "unknown", 4: "unknown", 5: "done"}
