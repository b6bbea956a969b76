"""The test suites of LangGraph and LangChain, from their source distributions: with plain tool nodes, and with durable ones.

What differs must be what the table in docs/langgraph.md lists, no more and no less. A test that the plain release does not pass here
either tells nothing, and is named.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: in the environment of its own that this runs in
FOLDER = Path(sys.prefix) / "suites"
ABOUT = "ToolNode|create_react_agent|create_agent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """The tests of a package. Of one that is `large` only those that have to do with tools are run."""

    package: str
    tests: str
    door: str
    large: bool = False


SUITES = (
    Suite(package="langgraph-prebuilt", tests="tests", door="node"),
    Suite(package="langgraph", tests="tests", door="node", large=True),
    Suite(package="langchain", tests="tests/unit_tests/agents", door="make_durable"),
)


def expected() -> dict[tuple[str, str], str]:
    """What differs, by package and test, and why: from the guide."""
    rows = re.findall(
        r"^\| ([a-z-]+) \| `(tests/[^`]+)` \| (.+) \|$",
        (ROOT / "docs" / "langgraph.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    return {(package, test): why for package, test, why in rows}


def source(package: str) -> Path:
    """The unpacked source distribution of the release that is installed."""
    release = version(package)
    folder = FOLDER / f"{package.replace('-', '_')}-{release}"
    if not folder.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package]
        subprocess.run([*pip, "--dest", str(FOLDER), f"{package}=={release}"], check=True)
        with tarfile.open(folder.with_name(f"{folder.name}.tar.gz")) as archive:
            archive.extractall(FOLDER, filter="data")
    return folder


def outcomes(suite: Suite, folder: Path, kind: str) -> dict[str, str]:
    """What became of each test; `kind` is "plain" or "durable"."""
    files = [suite.tests]
    if suite.large:
        modules = sorted((folder / suite.tests).glob("test_*.py"))
        files = [str(m.relative_to(folder)) for m in modules if re.search(ABOUT, m.read_text("utf-8"))]
    report = FOLDER / f"{suite.package}-{kind}.json"
    report.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "NO_DOCKER": "true",  # the suites' own word for: no databases
        "UPSTREAM": kind,
        "UPSTREAM_DOOR": suite.door,
        "UPSTREAM_ABOUT": ABOUT if suite.large else "",
        "UPSTREAM_REPORT": str(report),
    }
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "substitute",
        "-o",
        "addopts=",
    ]
    done = subprocess.run(
        [*pytest, *files], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    (FOLDER / f"{suite.package}-{kind}.txt").write_text(done.stdout + done.stderr)
    if done.returncode not in (0, 1) or not report.exists():
        sys.exit(
            f"The tests of {suite.package} did not run ({kind}):\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    found: dict[str, str] = json.loads(report.read_text())
    return found


def compared(suite: Suite, known: dict[tuple[str, str], str]) -> list[str]:
    """What is not as it should be."""
    folder = source(suite.package)
    plain, durable = (outcomes(suite, folder, kind) for kind in ("plain", "durable"))
    batches = durable.pop("batches", "0")
    plain.pop("batches", None)
    faulty = sorted(test for test, outcome in plain.items() if outcome == "failed")
    differs = {test for test in plain if plain[test] != durable.get(test) and test not in faulty}
    listed = {test for package, test in known if package == suite.package}
    same = len(plain) - len(differs) - len(faulty)
    print(
        f"{folder.name}: {same} tests as with plain nodes, {len(differs)} differ, {batches} batches recorded;"
        f" {len(faulty)} fail with plain nodes too and tell nothing"
    )
    for test in faulty:
        print(f"  not compared: {test}")
    wrong = [
        f"{suite.package} {test}: differs, and the guide does not say so" for test in sorted(differs - listed)
    ]
    wrong += [
        f"{suite.package} {test}: does not differ, as the guide says" for test in sorted(listed - differs)
    ]
    if batches == "0":
        wrong.append(f"{suite.package}: no batch was recorded, so nothing of it was run by a durable node")
    return wrong


def main() -> None:
    """Run all suites; the exit status says whether the guide is right."""
    known = expected()
    wrong = [line for suite in SUITES for line in compared(suite, known)]
    wrong += [
        f"{package} {test}: no suite has this package"
        for package, test in known
        if package not in {suite.package for suite in SUITES}
    ]
    print("\n".join(wrong) if wrong else "What differs is what docs/langgraph.md lists.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
