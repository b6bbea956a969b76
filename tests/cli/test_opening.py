"""Which journal a command works on, and what it says when there is none to be had."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import pytest

from cli.commands import CANNOT_RUN, NEEDS_DECISION, command, said
from toolslot.cli import cli

#: every command that reads a journal, as short as it can be said
READING = [
    ("runs",),
    ("show", "r"),
    ("pending",),
    ("effects",),
    ("resolve", "r", "0", "--rerun", "--why", "x"),
    ("forget-effect", "pay", "4711", "--why", "x"),
    ("takeover", "r", "--why", "x"),
    ("abandon", "r", "--why", "x"),
    ("watch", "--until-idle"),
    ("html", "r", "-o", "out.html"),
    ("export",),
    ("purge", "r"),
    ("doctor",),
]
reading = pytest.mark.parametrize("words", READING, ids=[words[0] for words in READING])


def test_no_command_is_forgotten_here() -> None:
    assert {words[0] for words in READING} == set(cli.commands) - {"demo"}


@reading
def test_where_there_is_no_journal_one_line_says_so_and_none_is_made(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = said(command(*words), CANNOT_RUN)
    assert output.startswith(f"Error: there is no journal in {tmp_path / '.toolslot'}")
    assert len(output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@reading
@pytest.mark.parametrize("by", ["option", "environment"])
@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://ann:hunter2@db.example:5432/agents",
        "postgres://db.example/agents?password=hunter2",
        "PostgreSQL://ann:hunter2@[db/agents",
    ],
)
def test_an_address_that_nothing_opens_is_refused_and_its_password_never_shown(
    words: tuple[str, ...], by: str, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = (
        command(*words, "--journal", dsn) if by == "option" else command(*words, env={"TOOLSLOT_HOME": dsn})
    )
    output = said(result, CANNOT_RUN)
    assert "is given as an address" in output
    assert "hunter2" not in output
    assert len(output.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.crash
def test_the_option_the_environment_and_the_working_directory_name_it_in_this_order(
    dead: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(dead, tmp_path / ".toolslot")
    said(command("pending"), NEEDS_DECISION)
    said(command("pending", env={"TOOLSLOT_HOME": str(dead)}), NEEDS_DECISION)
    nowhere = {"TOOLSLOT_HOME": str(tmp_path / "none")}
    said(command("pending", env=nowhere), CANNOT_RUN)
    said(command("pending", "--journal", dead, env=nowhere), NEEDS_DECISION)


@pytest.mark.parametrize("name", sorted(set(cli.commands) - {"demo"}))
def test_every_command_can_be_told_the_journal(name: str) -> None:
    assert any(
        "--journal" in each.opts for each in cli.commands[name].params if isinstance(each, click.Option)
    )
