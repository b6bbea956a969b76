"""Several processes resume one run at the same instant: every call runs once, and all are told the same."""

from __future__ import annotations

import contextlib
import random
import signal
from pathlib import Path

import pytest

from support.examining import examined
from support.forked import Child
from support.gate import gate
from support.ledger import Ledger
from support.nightly import NIGHTLY
from toolslot.journal import DiskJournal

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "plain.py"
SIX = range(6)
#: 200 in all by night: 67, 67 and 66
ROUNDS = {2: 67, 4: 67, 8: 66} if NIGHTLY else {2: 2, 4: 2, 8: 1}


def killed(folder: Path) -> None:
    """A first life: 0 is recorded or not, 1 has had its effect and not returned, 2 has begun and done nothing, of the rest nobody knows."""
    with (
        gate(folder / "release"),
        Child(SCRIPT, str(folder), "--hang-after", "1", "--hang-before", "2") as first,
    ):
        first.await_line("INSIDE")
        first.kill()


def at_once(folder: Path, count: int, *last: str, modes: tuple[str, ...] = ("sync", "async")) -> list[object]:
    """The answers of so many processes; None of one that died, as it was told to by `last`."""
    with contextlib.ExitStack() as stack:
        with gate(folder / "gate"):
            children = [
                stack.enter_context(
                    Child(
                        SCRIPT,
                        str(folder),
                        "--gate",
                        "--mode",
                        modes[number % len(modes)],
                        *(last if number == count - 1 else ()),
                    )
                )
                for number in range(count)
            ]
            for child in children:
                child.await_line("READY")
        answers: list[object] = []
        for child in children:
            if last and child is children[-1] and child.wait() == -signal.SIGKILL:
                answers.append(None)
                continue
            report = child.report()
            assert report["error"] is None, report
            answers.append(report["answers"])
        return answers


def effects(folder: Path) -> list[int]:
    lines = [line.split() for line in Ledger(folder / "ledger").lines()]
    return [sum(words[:2] == ["effect", str(i)] for words in lines) for i in SIX]


@pytest.mark.parametrize("count", ROUNDS)
def test_of_processes_that_resume_at_the_same_instant_all_get_the_same_and_every_call_runs_once(
    tmp_path: Path, count: int
) -> None:
    for number in range(ROUNDS[count]):
        folder = tmp_path / str(number)
        folder.mkdir()
        if number % 2 == 0:
            killed(folder)
        done, begun = effects(folder), Ledger(folder / "ledger").counts("begin", SIX)
        answers = at_once(folder, count)
        assert answers == [answers[0]] * count
        assert effects(folder) == [1] * 6
        expected = [before + 1 - paid for before, paid in zip(begun, done, strict=True)]
        assert Ledger(folder / "ledger").counts("begin", SIX) == expected, "one more where nothing was paid"
        assert at_once(folder, 1) == answers[:1]
        assert effects(folder) == [1] * 6


@pytest.mark.parametrize("seed", range(40 if NIGHTLY else 1))
def test_when_one_of_them_dies_somewhere_the_others_come_to_the_end(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    point = chance.choice(["after_takeover", "after_start", "after_return", "after_finish", "before_replay"])
    killed(tmp_path)
    answers = at_once(tmp_path, 4, "--crash", f"{point}:{chance.randint(1, 2)}")
    told = [answer for answer in answers if answer is not None]
    assert len(told) >= 3
    assert told == [told[0]] * len(told)
    assert effects(tmp_path) == [1] * 6
    with DiskJournal.open(tmp_path / "journal") as journal:
        assert examined(journal).sound
