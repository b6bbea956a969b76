"""The page on reliability: its promise is the one of the README, its blocks run, and every test it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.guides import blocks, sections
from toolslot import Done, NotDone, ToolPolicy
from toolslot.testing import JournalContract

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text()
SECTIONS = sections(PAGE)

_NODE = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)+)`")


@cache
def names_in(path: str) -> dict[str, ast.stmt]:
    """What a module defines at its top, by name."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update({target.id: node for target in node.targets if isinstance(target, ast.Name)})
    return found


def is_there(node_id: str) -> bool:
    path, *names = node_id.split("::")
    if not (ROOT / path).exists():
        return False
    found = names_in(path).get(names[0])
    if len(names) == 1:
        return isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef))
    if isinstance(found, ast.ClassDef):
        bases = {base.id for base in found.bases if isinstance(base, ast.Name)}
        return "JournalContract" in bases and hasattr(JournalContract, names[1])
    return found is not None and names[1] == "runTest"  # the test case of a state machine


def rows(heading: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[heading].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_case_of_elsewhere_has_its_row_and_its_test() -> None:
    cases = rows("What went wrong elsewhere")
    assert [int(case) for case, _, _ in cases] == list(range(1, 39))
    for case, lesson, tests in cases:
        assert lesson, case
        assert _NODE.findall(tests), f"case {case} names no test"


@pytest.mark.parametrize("node_id", sorted(set(_NODE.findall(PAGE))))
def test_a_test_that_the_page_names_exists(node_id: str) -> None:
    assert is_there(node_id)


def test_a_test_that_does_not_exist_is_noticed() -> None:
    for wrong in ("test_plan.py::test_nothing", "nowhere.py::test_plan", "test_plan.py::Test::test_plan"):
        assert not is_there(f"tests/core/{wrong}")
    assert not is_there("tests/journal/disk/test_contract.py::TestDiskJournal::test_nothing")


def test_a_test_with_the_number_of_a_case_is_named_under_that_case() -> None:
    for case, _, tests in rows("What went wrong elsewhere"):
        for node_id in _NODE.findall(tests):
            number = re.search(r"test_case_(\d+)(?:_and_(\d+))?_", node_id)
            assert number is None or int(case) in map(int, filter(None, number.groups())), node_id


def test_the_guarantee_is_word_for_word_that_of_the_readme() -> None:
    def promise(page: str) -> str:
        start = page.index("Within its batch, a call whose result")
        return " ".join(page[start:].split("\n\n", maxsplit=1)[0].split())

    assert promise(PAGE) == promise((ROOT / "README.md").read_text())


def test_the_policy_for_a_payment_asks_the_bank() -> None:
    class Bank:
        def find(self, key: str) -> str | None:
            return {"paid": "receipt"}.get(key)

    (block,) = blocks(SECTIONS["The guarantee"])
    found: dict[str, Any] = {"bank": Bank()}
    exec(compile(block, "reliability", "exec"), found)
    policy = found["policy"]
    assert isinstance(policy, ToolPolicy)
    assert policy.unknown_rule == "ask"

    class Asked:
        idempotency_key = "paid"

    assert found["was_it_paid"](Asked) == Done("receipt")
    Asked.idempotency_key = "unpaid"
    assert found["was_it_paid"](Asked) == NotDone()


def test_every_python_block_is_run_here() -> None:
    assert sum(len(blocks(text)) for text in SECTIONS.values()) == len(blocks(PAGE)) == 1
