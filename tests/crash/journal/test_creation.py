"""A journal that does not exist yet: whatever others do while it is made, and wherever its maker dies, everybody gets one and the same."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path

import pytest

from support.examining import examined
from support.forked import Child, run
from support.gate import gate
from support.nightly import NIGHTLY
from toolslot import Encryption
from toolslot._errors import JournalUnavailable
from toolslot.journal import DiskJournal

pytestmark = pytest.mark.crash

KEY = bytes(range(32))
SCRIPT = Path(__file__).parent / "creating.py"
#: 500 in all by night, 20 at every run of the tests
ROUNDS = {2: 167, 4: 167, 8: 166} if NIGHTLY else {2: 7, 4: 7, 8: 6}
#: no opening takes as many
MOST_STEPS = 200

PLAIN, ENCRYPTED = (), ("--key", KEY.hex())

keyed = pytest.mark.parametrize("key", [PLAIN, ENCRYPTED], ids=["plain", "encrypted"])


def runs(root: Path, key: tuple[str, ...]) -> set[str]:
    """What is recorded, in a journal that is whole."""
    with DiskJournal.open(root, encryption=Encryption([KEY]) if key else None) as journal:
        assert examined(journal).sound
        return {found.run_id for found in journal.keys().result(30)}


def is_locked(root: Path) -> bool:
    """Whether somebody holds the lock under which the files are made."""
    try:
        with (root / "commit.lock").open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def folder_for(tmp_path: Path, step: int) -> Path:
    folder = tmp_path / str(step)
    folder.mkdir()
    return folder


def steps_of(folder: Path, key: tuple[str, ...]) -> range:
    folder.mkdir()
    args = (
        str(folder / "journal"),
        "first",
        *key,
        "--gate",
        str(folder / "gate"),
        "--stop-at",
        str(MOST_STEPS),
    )
    steps = run(SCRIPT, args)["steps"]
    assert 15 < steps < MOST_STEPS
    return range(1, steps + 1)


def stopped(folder: Path, step: int, key: tuple[str, ...]) -> Child:
    """A process that stands before that step of making the journal, until the gate is open."""
    child = Child(
        SCRIPT, str(folder / "journal"), "first", *key, "--gate", str(folder / "gate"), "--stop-at", str(step)
    )
    child.await_line("READY")
    return child


@pytest.mark.parametrize("count", ROUNDS)
def test_processes_that_open_a_new_journal_at_the_same_instant_all_get_it(tmp_path: Path, count: int) -> None:
    for number in range(ROUNDS[count]):
        key = ENCRYPTED if number % 2 else PLAIN
        folder = tmp_path / str(number)
        folder.mkdir()
        root = folder / "not" / "there" / "journal"
        with contextlib.ExitStack() as stack:
            with gate(folder / "gate"):
                children = [
                    stack.enter_context(
                        Child(SCRIPT, str(root), f"run {n}", *key, "--gate", str(folder / "gate"))
                    )
                    for n in range(count)
                ]
                for child in children:
                    child.await_line("READY")
            errors = [child.report()["error"] for child in children]
        assert errors == [None] * count
        assert runs(root, key) == {f"run {n}" for n in range(count)}


@keyed
@pytest.mark.parametrize("begun", [False, True], ids=["nothing", "a directory"])
def test_wherever_its_maker_stands_another_process_gets_the_journal_too(
    tmp_path: Path, key: tuple[str, ...], begun: bool
) -> None:
    for step in steps_of(tmp_path / "all", key):
        root = folder_for(tmp_path, step) / "journal"
        if begun:  # by a third, which got no further
            root.mkdir(mode=0o700)
        with contextlib.ExitStack() as stack:
            with gate(root.parent / "gate"):
                first = stack.enter_context(stopped(root.parent, step, key))
                second = stack.enter_context(Child(SCRIPT, str(root), "second", *key))
                if not is_locked(root):
                    assert second.report()["error"] is None, step
            assert first.report()["error"] is None, step
            assert second.report()["error"] is None, step
        assert runs(root, key) == {"first", "second"}


@keyed
def test_wherever_its_maker_is_killed_the_next_process_gets_a_whole_journal(
    tmp_path: Path, key: tuple[str, ...]
) -> None:
    for step in steps_of(tmp_path / "all", key):
        root = folder_for(tmp_path, step) / "journal"
        with gate(root.parent / "gate"), stopped(root.parent, step, key) as first:
            first.kill()
        assert run(SCRIPT, (str(root), "second", *key))["error"] is None, step
        assert runs(root, key) == {"second"}


@keyed
def test_wherever_its_maker_stands_a_reader_finds_no_journal_or_an_empty_one(
    tmp_path: Path, key: tuple[str, ...]
) -> None:
    for step in steps_of(tmp_path / "all", key):
        root = folder_for(tmp_path, step) / "journal"
        with contextlib.ExitStack() as stack:
            with gate(root.parent / "gate"):
                first = stack.enter_context(stopped(root.parent, step, key))
                try:
                    with DiskJournal.open(root, read_only=True) as journal:
                        assert journal.keys().result(30) == (), step
                except JournalUnavailable as none_yet:
                    assert "there is no journal" in str(none_yet), step
            assert first.report()["error"] is None, step
