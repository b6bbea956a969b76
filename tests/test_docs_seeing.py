"""The guide on seeing what happened: its blocks run and do what stands beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.guides import blocks, sections
from toolslot import Batch, Call, DurableExecutor

SECTIONS = sections((Path(__file__).parent.parent / "docs" / "seeing.md").read_text(encoding="utf-8"))
BATCH = Batch(run_id="order-17", batch_id="step", calls=[Call(tool="read", args={"i": i}) for i in range(3)])
TOOLS = {"read": lambda i: i}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "journal"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(heading: str, number: int, **given: Any) -> dict[str, Any]:
    found = {"__name__": "guide", **given}
    exec(compile(blocks(SECTIONS[heading])[number], f"{heading}, block {number}", "exec"), found)
    return found


@pytest.fixture
def ran() -> None:
    executor = DurableExecutor()
    executor.run_all(BATCH, TOOLS)
    executor.journal.close()


@pytest.mark.usefixtures("ran")
def test_a_run_is_shown_and_saved(home: Path) -> None:
    found = run("In a notebook", 0)
    run("As a page", 0, **found)
    assert "order-17" in (home / "order-17.html").read_text(encoding="utf-8")


def test_tqdm_draws_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    run("Progress", 0, batch=BATCH, tools=TOOLS)["executor"].journal.close()
    drawn = capsys.readouterr().err
    assert "order-17: 100%" in drawn
    assert "3 finished" in drawn


def test_rich_draws_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    run("Progress", 1, batch=BATCH, tools=TOOLS)["executor"].journal.close()
    drawn = capsys.readouterr().out
    assert "order-17" in drawn
    assert "3/3" in drawn
    assert "3 finished" in drawn
