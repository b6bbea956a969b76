"""Effects of an encrypted journal: no key can be read in its files, or guessed, and those from before the encryption are found."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.apart import open_apart
from support.leaks import leaks
from toolslot import Batch, Call, DurableExecutor, Encryption, ToolPolicy, current_call
from toolslot._domain._claim import ForgetEffect
from toolslot._domain._effect_names import (
    NamedEffect,
    effect_digests,
    effect_idempotency_key,
    name_effect,
)
from toolslot.journal import Change, DiskJournal, Journal, JournalView, Purge
from toolslot.testing._effects_held import DoneEffectContract
from toolslot.testing._effects_kept import KeepingContract
from toolslot.testing._effects_moved import MovedEffectContract
from toolslot.testing._worker import PATIENCE, do

KEY, CANARY = b"k" * 32, "CANARY-4711-7f3a9"


class TestEncryptedJournal(DoneEffectContract, MovedEffectContract, KeepingContract):
    """The parts of the contract that store payloads; tests/nightly has the whole."""

    @pytest.fixture(autouse=True)
    def _storage(self, root: Path) -> None:
        self.path = root

    def make_journal(self) -> Journal:
        return open_apart(self.path, encryption=Encryption((KEY,)))


def opened(root: Path, *, secret: bool = True) -> DiskJournal:
    return DiskJournal.open(root, encryption=Encryption((KEY,)) if secret else None)


def pay(journal: DiskJournal, run: str, amount: int = 100) -> tuple[object, list[str]]:
    """What the call got, and the idempotency keys under which its code was entered."""
    entered: list[str] = []

    def code(invoice: str, amount: int) -> str:
        entered.append(current_call().idempotency_key)
        return f"paid in {run}"

    executor = DurableExecutor(journal, policies={"pay": ToolPolicy(effect_key="invoice")}, hooks=[])
    call = Call(tool="pay", args={"invoice": CANARY, "amount": amount})
    (answer,) = executor.run_all(
        Batch(run_id=run, batch_id="b", calls=[call]), {"pay": code}, return_exceptions=True
    )
    return answer, entered


def plainly(name: str = "pay") -> NamedEffect:
    """The effect as a journal that is not encrypted names it: whoever guesses the arguments can do so, too."""
    effect = name_effect("invoice", name, {"invoice": CANARY, "amount": 100})
    assert isinstance(effect, NamedEffect)
    return effect


@dataclass(frozen=True)
class AskId:
    """What names the journal. It is in its files, in the clear."""

    def change(self, view: JournalView) -> Change[str]:
        return Change((), view.journal_id)


def guessed(journal: DiskJournal) -> tuple[str, str, str]:
    """What somebody makes of the arguments who has the files and guesses: digests, and the idempotency key."""
    plain = plainly()
    assert plain.compared is not None
    return plain.digest, plain.compared, effect_idempotency_key(do(journal, AskId()), plain.digest, 0)


def test_nothing_of_a_key_is_in_the_files_nor_anything_by_which_it_could_be_guessed(root: Path) -> None:
    with opened(root) as journal:
        pay(journal, "run-1")
        pay(journal, "run-2")
        pay(journal, "run-3", amount=120)
        guesses = guessed(journal)
    assert leaks(root, CANARY, *guesses) == []


def test_the_search_finds_them_in_a_plain_journal(root: Path) -> None:
    with opened(root, secret=False) as journal:
        pay(journal, "run-1")
        guesses = guessed(journal)
    assert {secret for _, secret in leaks(root, CANARY, *guesses)} == {CANARY, *guesses}


def test_an_effect_from_before_the_encryption_is_not_had_again(root: Path) -> None:
    with opened(root, secret=False) as journal:
        pay(journal, "run-1")
    with opened(root) as journal:
        assert pay(journal, "run-2") == ("paid in run-1", [])
        answer, entered = pay(journal, "run-3", amount=120)
    assert entered == []
    assert "EffectConflict" in repr(answer)


def test_an_effect_from_before_the_encryption_is_forgotten_and_had_again_as_the_same_effect(
    root: Path,
) -> None:
    with opened(root, secret=False) as journal:
        _, before = pay(journal, "run-1")
    with opened(root) as journal:
        digests = effect_digests("pay", (CANARY,), run_id=None, digest_key=journal.digest_key)
        do(journal, ForgetEffect(digests=digests, by="ada", why="it came back", at=1.0))
        _, after = pay(journal, "run-2")
        assert pay(journal, "run-3") == ("paid in run-2", [])
        (known,) = journal.effects().result(PATIENCE).effects
    assert len({*before, *after}) == 2
    assert (known.effect.claims, known.effect.key) == (2, json.dumps([CANARY], separators=(",", ":")))


def test_a_purge_leaves_of_an_encrypted_effect_what_the_next_call_needs(root: Path) -> None:
    with opened(root) as journal:
        pay(journal, "run-1")
        do(journal, Purge(run_id="run-1", at=1.0, why="too old"))
        answer, entered = pay(journal, "run-2")
    assert entered == []
    assert "ResultNotStorable" in repr(answer)
    assert leaks(root, CANARY, "paid in run-1") == []
