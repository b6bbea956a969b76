"""The releases that `make test-lowest` runs with are those that the metadata and the error messages promise."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
PINS = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests/lowest.txt").read_text(), re.MULTILINE))


def bounds(text: str) -> dict[str, str]:
    return dict(re.findall(r"((?:lang|llama-)[\w-]+)>=([\d.]+)", text))


def release(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    return (*parts, *[0] * (3 - len(parts)))


@pytest.mark.parametrize("extra", ["demo", "langchain", "langgraph", "llamaindex"])
def test_the_lower_bounds_of_an_extra_are_tested(extra: str) -> None:
    found = bounds(" ".join(EXTRAS[extra]))
    assert found
    assert {name: release(version) for name, version in found.items()} == {
        name: release(PINS[name]) for name in found
    }


@pytest.mark.parametrize(
    ("adapter", "named"),
    [
        ("toolslot_langgraph", {"langgraph", "langgraph-prebuilt"}),
        ("toolslot_llamaindex", {"llama-index-core"}),
    ],
)
def test_errors_about_the_version_name_the_lowest_that_is_tested(adapter: str, named: set[str]) -> None:
    found = bounds((ROOT / "adapters" / adapter / "_compat.py").read_text())
    assert named <= set(found)
    assert {name: release(version) for name, version in found.items()} == {
        name: release(PINS[name]) for name in found
    }
