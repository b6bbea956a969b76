"""Notebooks as they are committed: run in order, with outputs that say nothing of the machine they ran on. `--nbmake` runs them."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) == 6


@each
def test_its_outputs_are_of_one_run_from_top_to_bottom(path: Path) -> None:
    assert [cell["execution_count"] for cell in cells(path)] == [*range(1, len(cells(path)) + 1)]


@each
def test_its_outputs_hold_neither_errors_nor_warnings_of_others_nor_anything_of_the_machine(
    path: Path,
) -> None:
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert {output["name"] for output in outputs if output["output_type"] == "stream"} == {"stdout"}
    told = json.dumps(outputs)
    for found in (
        rf"(?<!\w){Path.home()}",  # a name may end as a path begins
        str(FOLDER.parent),
        "/tmp/",
        "/home/",
        "Traceback",
        rf" on {socket.gethostname()}\b",
    ):
        assert not re.search(found, told), found


@each
def test_it_shows_a_timeline(path: Path) -> None:
    assert any(
        "<svg" in "".join(o.get("data", {}).get("text/html", "")) for c in cells(path) for o in c["outputs"]
    )


@each
def test_its_links_lead_somewhere(path: Path) -> None:
    for cell in cells(path, "markdown"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", "".join(cell["source"])):
            assert (FOLDER / target).exists(), target


@each
def test_its_code_is_narrow_enough_to_be_read_without_scrolling(path: Path) -> None:
    for cell in cells(path):
        for line in "".join(cell["source"]).splitlines():
            assert len(line) <= 110, line


def test_the_page_about_them_lists_every_one() -> None:
    listed = re.findall(r"\[\w+\]\((\w+\.ipynb)\)", (FOLDER / "README.md").read_text())
    assert listed == [path.name for path in NOTEBOOKS]
