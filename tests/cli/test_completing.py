"""What a shell is offered after Tab, as click's own script asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.shell_completion import BashComplete

from cli.commands import key_of, killed
from cli.effects import invoice, paid
from toolslot.cli import cli

pytestmark = pytest.mark.crash

Offered: TypeAlias = Callable[..., list[str]]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Offered:
    """What bash would offer for the last of the words."""

    def ask(*words: str, **env: str) -> list[str]:
        monkeypatch.delenv("TOOLSLOT_HOME", raising=False)
        asked = {"COMP_WORDS": " ".join(("toolslot", *words)), "COMP_CWORD": str(len(words))}
        for name, value in {**asked, **env}.items():
            monkeypatch.setenv(name, value)
        shell = BashComplete(cli, {}, "toolslot", "_TOOLSLOT_COMPLETE")
        return [line.partition(",")[2] for line in shell.complete().splitlines()]

    return ask


def test_the_script_that_the_guide_names_is_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolslot"],
        env={**os.environ, "_TOOLSLOT_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "complete -o nosort" in done.stdout


def test_commands_and_options(offered: Offered) -> None:
    assert "resolve" in offered("re")
    assert "--needs-decision" in offered("runs", "--n")


def test_ids_of_runs(offered: Offered, folder: Path) -> None:
    home = killed(folder, "--run", "another", "--calls", "1", hang="0")
    assert offered("show", "", TOOLSLOT_HOME=str(home)) == ["another", "order-17"]
    assert offered("show", "or", TOOLSLOT_HOME=str(home)) == ["order-17"]
    assert offered("show", "--journal", str(home), "or") == ["order-17"]


def test_keys_of_the_calls_that_need_a_decision(offered: Offered, dead: Path) -> None:
    assert offered("resolve", "order-17", "ts_", TOOLSLOT_HOME=str(dead)) == [
        key_of(dead, 3),
        key_of(dead, 4),
    ]


def test_names_and_keys_of_effects(offered: Offered, tmp_path: Path) -> None:
    home = tmp_path / "journal"
    paid(home, invoice(4711), invoice("INV-1"), invoice("4711"), invoice("a b"))
    assert offered("forget-effect", "p", TOOLSLOT_HOME=str(home)) == ["pay"]
    assert sorted(offered("forget-effect", "pay", "", TOOLSLOT_HOME=str(home))) == ["4711", "INV-1"]
    assert offered("forget-effect", "refund", "", TOOLSLOT_HOME=str(home)) == []
    assert offered("effects", "--tool", "", TOOLSLOT_HOME=str(home)) == ["pay"]


def test_a_name_that_could_not_be_typed_is_not_offered(offered: Offered, folder: Path) -> None:
    home = killed(folder, "--run", "bad\nname", "--calls", "1", hang="0")
    assert offered("show", "", TOOLSLOT_HOME=str(home)) == ["order-17"]


def test_where_there_is_no_journal_nothing_is_offered_and_none_is_made(
    offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered("show", "") == []
    assert offered("show", "", TOOLSLOT_HOME="postgresql://ann:hunter2@db/x") == []
    assert list(tmp_path.iterdir()) == []
