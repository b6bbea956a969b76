"""`toolslot forget-effect`: "yes, pay it again"."""

from __future__ import annotations

import shlex
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.commands import CANNOT_RUN, PROBLEM, agent, answer, command, killed, said
from cli.effects import invoice, paid
from toolslot import Encryption, ToolPolicy

PER_RUN = ToolPolicy(effect_key="invoice", effect_scope="run")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    paid(path, invoice(4711), invoice("INV-1"))
    return path


def forget(home: Path, *words: object, tool: str = "pay", **env: str | None) -> Result:
    args = ("--why", "refunded", "--by", "ann", "--journal", home, tool, *words)
    return command("forget-effect", *args, env=env)


def effect(home: Path, text: str) -> dict[str, Any]:
    (found,) = (
        each for each in answer(command("effects", "--json", "--journal", home)) if each["key_text"] == text
    )
    assert isinstance(found, dict)
    return found


def test_the_next_call_with_the_key_runs_under_a_new_idempotency_key(home: Path) -> None:
    before = effect(home, "4711")
    output = said(forget(home, "4711"))
    assert "which was done (call 0 of batch order-17/step-1)" in output
    assert "under a new idempotency key" in output
    assert effect(home, "4711")["state"] == "free"
    paid(home, invoice(4711), batch="step-2")
    after = effect(home, "4711")
    assert (after["state"], after["holder"]["batch_id"]) == ("done", "step-2")
    assert after["idempotency_key"] != before["idempotency_key"]
    paid(home, invoice(4711), batch="step-3")  # and it is had once again, not twice
    assert effect(home, "4711")["holder"]["batch_id"] == "step-2"


def test_who_forgot_it_and_why_is_journaled_and_listed(home: Path) -> None:
    said(forget(home, "INV-1"))
    (forgotten,) = effect(home, "INV-1")["forgotten"]
    assert (forgotten["by"], forgotten["why"]) == ("ann", "refunded")
    output = said(command("effects", "--journal", home))
    assert "1 time, the last by ann at" in output
    assert output.count("(the next call gets another)") == 1
    assert effect(home, "4711")["forgotten"] == []


def test_what_is_forgotten_already_is_not_forgotten_again(home: Path) -> None:
    said(forget(home, "4711"))
    output = said(forget(home, "4711"))
    assert "is forgotten already by ann at" in output
    assert len(effect(home, "4711")["forgotten"]) == 1


def test_a_dry_run_changes_nothing(home: Path) -> None:
    assert said(forget(home, "4711", "--dry-run")).startswith("would be forgotten: ")
    assert effect(home, "4711")["state"] == "done"


def test_a_key_that_is_not_there_is_named_with_where_to_look(home: Path) -> None:
    output = said(forget(home, "4712"), PROBLEM)
    assert "no effect of 'pay' with the key 4712" in output
    assert "toolslot effects" in output
    assert "no effect of 'refund'" in said(forget(home, "4711", tool="refund"), PROBLEM)


def test_a_word_that_fits_a_number_and_a_text_is_refused_with_what_to_type_for_each(home: Path) -> None:
    paid(home, invoice("4711"), batch="step-2")
    output = said(forget(home, "4711"), PROBLEM)
    assert 'for 4711 (a number) type --exact 4711; for "4711" (a text) type --exact \'"4711"\'.' in output
    said(forget(home, *shlex.split("--exact '\"4711\"'")))
    assert (effect(home, '"4711"')["state"], effect(home, "4711")["state"]) == ("free", "done")
    said(forget(home, "--exact", "4711"))
    assert effect(home, "4711")["state"] == "free"


def test_a_word_in_quotation_marks_is_a_text_for_certain(home: Path) -> None:
    assert '"4711"' in said(forget(home, '"4711"'), PROBLEM)
    assert effect(home, "4711")["state"] == "done"
    paid(home, invoice("4711"), batch="step-2")
    said(forget(home, '"4711"'))
    assert (effect(home, '"4711"')["state"], effect(home, "4711")["state"]) == ("free", "done")


def test_texts_that_look_like_numbers_and_are_none(home: Path) -> None:
    paid(home, invoice("007"), invoice("-0"), invoice("9" * 1300), batch="step-2")
    for word in ("007", "9" * 1300):
        said(forget(home, word))
    said(forget(home, "--", "-0"))


def test_a_key_of_several_parts_is_given_as_several_words(home: Path) -> None:
    both = ToolPolicy(effect_key=("account", "invoice"))
    paid(home, invoice(7, account="A 1"), policy=both, tool="book", batch="step-2")
    assert "no effect" in said(forget(home, 7, "A 1", tool="book"), PROBLEM)
    said(forget(home, "A 1", 7, tool="book"))
    assert effect(home, '"A 1" 7')["state"] == "free"


def test_an_effect_of_one_run_is_named_with_it(home: Path) -> None:
    paid(home, invoice(5), batch="step-2", policy=PER_RUN)
    output = said(forget(home, 5), PROBLEM)
    assert "but one in run 'order-17' only" in output
    assert "--run" in output
    said(forget(home, 5, "--run", "order-17"))
    assert effect(home, "5")["state"] == "free"
    assert "Leave --run out" in said(forget(home, 4711, "--run", "order-17"), PROBLEM)


@pytest.mark.parametrize("word", ["true", "1.5", "[1]", "null", "INV-1", "1" * 5000])
def test_json_that_is_no_key_is_refused(word: str, home: Path) -> None:
    output = said(forget(home, "--exact", word), CANNOT_RUN)
    assert "no JSON number or text" in output


def test_too_many_words_that_may_be_both_are_refused(home: Path) -> None:
    assert "--exact" in said(forget(home, *range(9)), CANNOT_RUN)


def test_in_an_encrypted_journal_only_with_its_key(tmp_path: Path) -> None:
    key = Encryption.new_key()
    home = tmp_path / "journal"
    paid(home, invoice(4711), encryption=Encryption([urlsafe_b64decode(key)]))
    said(forget(home, 4711, TOOLSLOT_KEY=None), CANNOT_RUN)
    output = said(forget(home, 4711, "--dry-run", TOOLSLOT_KEY=None), PROBLEM)
    assert "TOOLSLOT_KEY" in output
    said(forget(home, 4711, TOOLSLOT_KEY=key))
    output = said(command("effects", "--journal", home, env={"TOOLSLOT_KEY": key}))
    assert "pay  4711  free" in output


@pytest.mark.crash
def test_what_a_living_process_is_at_is_not_forgotten(tmp_path: Path) -> None:
    home = tmp_path / "journal"
    with agent(tmp_path, "--calls", "1", "--hang", "0", "--effect-key", "i") as living:
        living.await_line("HANGING")
        assert "is or may be alive" in said(forget(home, 0), PROBLEM)
        assert "is or may be alive" in said(forget(home, 0, "--dry-run"), PROBLEM)
        living.kill()
    assert "nobody knows whether it was done" in said(forget(home, 0))


@pytest.mark.crash
def test_a_run_with_an_unknown_effect_is_not_purged_even_by_force(tmp_path: Path) -> None:
    home = killed(tmp_path, "--calls", "2", "--effect-key", "i", hang="1")
    assert "has an effect key and is unknown" in said(
        command("purge", "order-17", "--force", "--journal", home), PROBLEM
    )
    said(command("abandon", "order-17", "--why", "superseded", "--journal", home))
    output = said(command("purge", "--older", "0.001s", "--journal", home))
    assert "0 purged, 1 older" in output
    assert "has an effect key and is unknown" in output
    said(forget(home, 1))
    assert "1 purged" in said(command("purge", "--older", "0.001s", "--journal", home))
