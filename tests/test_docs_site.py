"""The site builds without a warning, holds every page, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return target


@pytest.mark.slow
def test_every_guide_is_a_page_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path.stem for path in site.glob("*.html")} - {"404"}
    assert pages == {path.stem for path in (ROOT / "docs").glob("*.md")}
    for path in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link|iframe|source)[^>]*(?:src|href)=\"?(https?:[^\"> ]+)", path.read_text()
        )
        assert loaded == [], path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(\"?https?:|@import", path.read_text()), path.name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "module"),
    [
        ("toolslot", "toolslot"),
        ("journal", "toolslot.journal"),
        ("instrumentation", "toolslot.instrumentation"),
        ("testing", "toolslot.testing"),
        ("hosting", "toolslot.hosting"),
        ("langgraph", "toolslot_langgraph"),
        ("llamaindex", "toolslot_llamaindex"),
    ],
)
def test_the_reference_has_every_public_class_and_function(site: Path, page: str, module: str) -> None:
    shown = {*re.findall(r'id="([\w.]+)"', (site / "api" / f"{page}.html").read_text())}
    public = importlib.import_module(module)
    for name in public.__all__:
        if getattr(getattr(public, name), "__doc__", None) and callable(getattr(public, name)):
            assert f"{module}.{name}" in shown, name
