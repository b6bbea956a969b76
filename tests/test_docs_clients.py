"""The guides name the provider classes that `make test-clients` runs with: no more, and no fewer."""

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
GROUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["test-clients"]
INSTALLED = {re.split(r"[\[<>=!~ ]", entry)[0] for entry in GROUP}


@pytest.mark.parametrize(
    ("guide", "script", "packages"),
    [
        ("llamaindex", "llama_client", r"llama-index-llms-[\w-]+"),
        ("langgraph", "chain_client", r"langchain-(?:openai|anthropic|google-genai)"),
    ],
)
def test_the_table_of_models_has_the_classes_that_are_tested(guide: str, script: str, packages: str) -> None:
    rows = re.findall(
        rf"^\| ({packages}) \| `(\w+)` \|", (ROOT / f"docs/{guide}.md").read_text(), re.MULTILINE
    )
    tested = (ROOT / f"tests/clients/{script}.py").read_text()
    assert {package for package, _ in rows} == {name for name in INSTALLED if re.fullmatch(packages, name)}
    assert {cls for _, cls in rows} == set(re.findall(r"^    return ([A-Z]\w+)\(", tested, re.MULTILINE))
