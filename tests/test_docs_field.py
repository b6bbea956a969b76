"""The field notes: each row says what was seen and what holds, and names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.guides import sections

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "field.md").read_text()
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    lines = [line for text in sections(PAGE).values() for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("what a user sees", "---")]


def test_every_row_says_what_was_seen_and_what_holds_and_names_a_test() -> None:
    assert len(rows()) > 30
    for seen, _, holds, tests in rows():
        assert seen, holds
        assert holds, seen
        assert _TEST.findall(tests), seen


@pytest.mark.parametrize(("path", "name"), sorted(set(_TEST.findall(PAGE))))
def test_a_test_that_the_notes_name_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert name in {node.name for node in tree.body if isinstance(node, kinds)}
