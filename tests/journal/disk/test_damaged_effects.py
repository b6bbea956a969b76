"""Effects in a damaged journal: the doctor tells of them, a salvage keeps the sound ones, and one that is lost is never had again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.doctoring import FindingKind, diagnose, salvage
from support.sickness import keys_in, tamper
from toolslot import Batch, Call, DurableExecutor, Encryption, ToolPolicy
from toolslot._domain._effects import EffectState
from toolslot._errors import JournalCorrupt, ResultNotStorable
from toolslot.journal import DiskJournal, ForgetEffect, Purge
from toolslot.testing._worker import PATIENCE, do

POLICIES = {"pay": ToolPolicy(effect_key="invoice")}


def pay(root: Path, run: str, invoice: int, encryption: Encryption | None = None) -> tuple[object, bool]:
    """What the call got, and whether its code was entered."""
    entered: list[int] = []

    def code(invoice: int) -> str:
        entered.append(invoice)
        return f"{invoice} paid in {run}"

    with DiskJournal.open(root, encryption=encryption) as journal:
        batch = Batch(run_id=run, batch_id="b", calls=[Call(tool="pay", args={"invoice": invoice})])
        (answer,) = DurableExecutor(journal, policies=POLICIES, hooks=[]).run_all(batch, {"pay": code})
    return answer, bool(entered)


@pytest.fixture
def home(root: Path) -> Path:
    """A journal in which invoices 1, 2 and 3 were paid."""
    for invoice in (1, 2, 3):
        pay(root, f"run-{invoice}", invoice)
    return root


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "salvaged"


def row_of(root: Path, invoice: int) -> str:
    """The name of the row that has the effect of the invoice."""
    with DiskJournal.open(root, read_only=True) as journal:
        known = journal.effects().result(PATIENCE).effects
    (digest,) = [each.effect.digest for each in known if each.effect.key == f"[{invoice}]"]
    return f"e/{digest}"


def spoil(root: Path, name: str) -> None:
    assert tamper(root, "UPDATE Cache SET value = substr(value, 1, 20) || x'00' WHERE key = ?", name) == 1


def lose(root: Path, name: str) -> None:
    assert tamper(root, "DELETE FROM Cache WHERE key = ?", name) == 1


def lose_with_its_listing(root: Path, name: str) -> None:
    lose(root, name)
    assert tamper(root, "DELETE FROM Cache WHERE key LIKE ?", f"h/%/{name.removeprefix('e/')}") == 1


damages = pytest.mark.parametrize("damage", [spoil, lose, lose_with_its_listing])


def test_a_journal_with_effects_is_sound(home: Path) -> None:
    pay(home, "follower", 1)
    report = diagnose(home)
    assert report.sound
    assert report.of(FindingKind.ROW) == ()


@damages
def test_the_doctor_tells_of_an_effect_whose_record_is_damaged_or_gone(
    home: Path, damage: Callable[[Path, str], None]
) -> None:
    name = row_of(home, 2)
    damage(home, name)
    report = diagnose(home)
    assert not report.sound
    assert [finding.subject for finding in report.of(FindingKind.ROW)] == [name]


def test_a_damaged_effect_is_refused_and_others_are_as_ever(home: Path) -> None:
    spoil(home, row_of(home, 2))
    with pytest.raises(JournalCorrupt):
        pay(home, "again", 2)
    assert pay(home, "other", 3) == ("3 paid in run-3", False)


@damages
def test_a_salvage_keeps_sound_effects_and_one_that_is_lost_is_refused(
    home: Path, target: Path, damage: Callable[[Path, str], None]
) -> None:
    name = row_of(home, 2)
    damage(home, name)
    report = salvage(home, target)
    (lost,) = report.lost
    assert name in lost
    for invoice in (1, 3):
        assert pay(target, f"again-{invoice}", invoice) == (f"{invoice} paid in run-{invoice}", False)
    with pytest.raises(JournalCorrupt, match="could not be salvaged"):
        pay(target, "once more", 2)


def test_a_list_of_effects_has_the_damaged_ones_as_unknown(home: Path) -> None:
    name = row_of(home, 2)
    spoil(home, name)
    with DiskJournal.open(home) as journal:
        listed = journal.effects().result(PATIENCE).effects
    assert sorted(each.effect.key for each in listed) == ["", "[1]", "[3]"]
    (damaged,) = [each for each in listed if each.effect.key == ""]
    assert (f"e/{damaged.effect.digest}", damaged.state) == (name, EffectState.UNKNOWN)


def test_an_effect_whose_holder_is_lost_is_refused(home: Path, target: Path) -> None:
    lose(home, "b/run-2/b/#m")
    salvage(home, target)
    with pytest.raises(JournalCorrupt):
        pay(target, "again", 2)


def test_a_salvage_lists_the_effects_of_a_run_again_for_its_purge(home: Path, target: Path) -> None:
    assert tamper(home, "DELETE FROM Cache WHERE key LIKE 'h/run-2/%'") == 1
    assert salvage(home, target).lost == ()
    assert keys_in(target, "h/run-2/%") != []
    with DiskJournal.open(target) as journal:
        do(journal, Purge(run_id="run-2", at=1.0, why="too old"))
    with pytest.raises(ResultNotStorable, match="purged"):
        pay(target, "again", 2)


def test_a_salvage_without_the_key_keeps_the_effects_of_an_encrypted_journal(
    root: Path, target: Path
) -> None:
    encryption = Encryption((b"k" * 32,))
    pay(root, "run-1", 1, encryption)
    assert salvage(root, target).lost == ()
    assert pay(target, "run-2", 1, encryption) == ("1 paid in run-1", False)


def test_an_effect_whose_record_is_damaged_is_refused_until_somebody_has_it_forgotten(home: Path) -> None:
    name = row_of(home, 1)
    spoil(home, name)
    with pytest.raises(JournalCorrupt):
        pay(home, "another", 1)
    with DiskJournal.open(home) as journal:
        forget = ForgetEffect(
            digests=(name.removeprefix("e/"),), by="ann", why="the bank knows nothing", at=1.0
        )
        told = do(journal, forget)
        assert [each.why for each in told.forgotten] == ["the bank knows nothing"]
        assert do(journal, forget) == told  # once is enough
    assert pay(home, "another", 1) == ("1 paid in another", True)
    assert diagnose(home).sound
