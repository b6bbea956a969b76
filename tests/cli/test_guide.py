"""docs/operating.md: it names every command and option, its exit codes are the true ones, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

import toolslot
from cli.commands import command, said
from support.guides import blocks
from support.harness import batch
from toolslot import DurableExecutor, ToolPolicy, UnknownOutcome
from toolslot.cli import cli
from toolslot.cli._ending import Exit

GUIDE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
COMMANDS = sorted(cli.commands)


def section(name: str) -> str:
    """What stands under the command's heading."""
    match = re.search(rf"^### toolslot {name}\b.*?(?=^##)", GUIDE, re.DOTALL | re.MULTILINE)
    assert match is not None, f"docs/operating.md has no heading for `toolslot {name}`"
    return match[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_guide_with_each_of_its_options(name: str) -> None:
    text = section(name)
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            for word in parameter.opts:
                assert f"`{word}" in text, f"docs/operating.md does not tell of `toolslot {name} {word}`"
        elif parameter.metavar:
            assert parameter.metavar in text.splitlines()[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text_and_every_command_tells_its_exit_codes(name: str) -> None:
    assert all(option.help for option in cli.commands[name].params if isinstance(option, click.Option))
    assert "Exit code" in said(command(name, "--help"))


def test_the_list_of_commands_tells_what_each_does_in_a_whole_sentence() -> None:
    lines = said(command("--help", env={"COLUMNS": "80"})).partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_it_tells_its_version() -> None:
    assert said(command("--version")) == f"toolslot {toolslot.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_guide_tells_of_no_option_that_is_not_there(name: str) -> None:
    known = {word for parameter in cli.commands[name].params for word in parameter.opts}
    told = set(re.findall(r"^- .*?`(--[a-z-]+)", section(name), re.MULTILINE))
    assert told <= known


def test_the_table_of_exit_codes_is_the_codes_there_are() -> None:
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", GUIDE, re.MULTILINE)} == {
        code.value for code in Exit
    }


def test_the_python_of_the_guide_settles_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world: dict[str, Any] = {}
    for block in blocks(GUIDE):
        exec(block, world)

    def times_out() -> str:
        raise TimeoutError

    executor = DurableExecutor(".toolslot", default_policy=ToolPolicy(on_unknown="ask"))
    with pytest.raises(TimeoutError):
        executor.run_all(batch("pay", args={}), {"pay": times_out})
    with pytest.raises(UnknownOutcome) as stopped:
        executor.run_all(batch("pay", args={}), {"pay": times_out})
    world["settle"](stopped.value, "receipt 4711")
    assert executor.run_all(batch("pay", args={}), {"pay": times_out}) == ["receipt 4711"]
    executor.journal.close()
