"""Console blocks of the README and the guides: commands and options that exist, extras and make targets that are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("click")

from support.guides import blocks
from toolslot.cli import cli

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "notebooks" / "README.md",
    ROOT / "examples" / "README.md",
]
PAGES += sorted((ROOT / "docs").glob("*.md"))

each = pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each line that runs `toolslot`, in console blocks and in running text."""
    text = page.read_text()
    lines = [line for block in blocks(text, "console") for line in block.splitlines()]
    indented = re.findall(r"^ +```console\n(.*?)^ +```", text, re.DOTALL | re.MULTILINE)
    lines += [line.strip() for block in indented for line in block.splitlines()]
    lines += re.findall(r"`(toolslot [a-z][^`]*)`", text)
    for line in lines:
        words = shlex.split(line.partition(" | ")[0].partition(" > ")[0].split(" && ")[-1], comments=True)
        if words and Path(words[0]).name == "toolslot":
            yield words[1:]


@each
def test_every_command_and_option_that_is_shown_exists(page: Path) -> None:
    for words in commands(page):
        if words[:1] == ["--version"]:
            continue
        command = cli.commands.get(words[0])
        assert command is not None, words
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        shown = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert shown <= known, words


@each
def test_every_extra_and_make_target_that_is_shown_exists(page: Path) -> None:
    text = page.read_text()
    extras = {
        name.strip() for found in re.findall(r"toolslot\[([a-z, ]+)\]", text) for name in found.split(",")
    }
    project = (
        (ROOT / "pyproject.toml")
        .read_text()
        .partition("[project.optional-dependencies]")[2]
        .partition("\n[")[0]
    )
    assert extras <= {*re.findall(r"^(\w+) = ", project, re.MULTILINE)}
    targets = {*re.findall(r"`make ([a-z-]+)", text), *re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)}
    assert targets <= {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}


def test_the_console_blocks_are_found() -> None:
    assert len([*commands(ROOT / "README.md")]) >= 6
