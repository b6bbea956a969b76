"""What may import what, and what an import costs."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import toolslot

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "toolslot"

FRAMEWORKS = {"langchain", "langchain_core", "langgraph", "llama_index", "psycopg", "workflows"}
OPTIONAL = {"click", "cryptography", "opentelemetry", "pytest", "rich", "tqdm"}
# Modules for which an extra has to be there.
NEED_MORE = (
    "toolslot._demo",
    "toolslot.cli",
    "toolslot.instrumentation._opentelemetry",
)
# Decide without I/O: these compute from what they are given.
PURE = ("_errors", *(f"_domain/{name}" for name in ("_fold", "_plan", "_policy", "_slot", "_view")))
IMPURE = {"asyncio", "concurrent", "diskcache", "io", "logging", "multiprocessing", "os", "pathlib", "random"}
IMPURE |= {"secrets", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time"}

IMPORT_ALL = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Absent())
import toolslot

for found in pkgutil.walk_packages(toolslot.__path__, "toolslot."):
    if not any(found.name == skip or found.name.startswith(skip + ".") for skip in SKIP):
        importlib.import_module(found.name)
"""


def run(code: str, environ: Mapping[str, str] = os.environ, **given: object) -> str:
    preamble = "".join(f"{name} = {value!r}\n" for name, value in given.items())
    command = [sys.executable, "-W", "error", "-c", preamble + code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_core_works_with_its_two_dependencies_alone() -> None:
    run(IMPORT_ALL, ABSENT=FRAMEWORKS | OPTIONAL, SKIP=NEED_MORE)


def test_the_commands_and_the_test_kit_work_without_any_framework() -> None:
    run(IMPORT_ALL, ABSENT=FRAMEWORKS, SKIP=())


def test_importing_toolslot_loads_no_optional_package() -> None:
    loaded = run("import sys, toolslot; print(*{name.partition('.')[0] for name in sys.modules})")
    assert not set(loaded.split()) & (FRAMEWORKS | OPTIONAL | {"toolslot_langgraph"})


@pytest.mark.parametrize(
    ("statement", "bound"),
    [("import toolslot", 1.0), ("from toolslot import DiskJournal, DurableExecutor, ToolPolicy", 4.0)],
)
def test_importing_toolslot_and_what_a_program_needs_of_it_costs_a_few_times_what_importing_asyncio_costs(
    tmp_path: Path, statement: str, bound: float
) -> None:
    """A busy machine makes both slower, so it does not decide this.

    Measured in processor time, as the best of several, without what compiling costs the first time.
    """
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = str(tmp_path)

    def cost(statement: str) -> float:
        measure = f"start = time.process_time(); {statement}; print(time.process_time() - start)"
        return min(float(run(f"import time; {measure}", environ)) for _ in range(12))

    assert cost(statement) < bound * cost("import asyncio")


def test_every_public_name_is_what_type_checkers_are_told_that_it_is() -> None:
    """At run time a name is looked for when it is first asked for."""
    tree = ast.parse((CORE / "__init__.py").read_text(encoding="utf-8"))
    told = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("toolslot.")
        for alias in node.names
    }
    assert sorted(told) == list(toolslot.__all__)
    assert set(toolslot.__all__) <= set(dir(toolslot))
    for name, module in told.items():
        assert getattr(toolslot, name) is getattr(importlib.import_module(module or ""), name), name


def test_a_public_name_loads_no_more_than_it_needs_and_another_name_is_an_error() -> None:
    loaded = run("import sys\nfrom toolslot import ToolFailed, ToolPolicy\nprint(*sys.modules)").split()
    assert "toolslot._domain._policy" in loaded
    assert not {"asyncio", "sqlite3", "toolslot.journal", "toolslot._batch"} & set(loaded)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        toolslot.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_public_rooms_are_there_without_an_import_of_their_own() -> None:
    assert run("import toolslot; print(toolslot.journal.purge_run.__name__)").strip() == "purge_run"
    assert run("import toolslot; print(toolslot.instrumentation.as_data.__name__)").strip() == "as_data"


@pytest.mark.parametrize("module", PURE)
def test_a_module_that_decides_imports_nothing_that_acts(module: str) -> None:
    tree = ast.parse((CORE / f"{module}.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in imported} & IMPURE


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the packages that a test may spoil."""
    for root in ("core", "adapters"):
        shutil.copytree(ROOT / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(sources: Path) -> subprocess.CompletedProcess[str]:
    roots = os.pathsep.join(str(sources / root) for root in ("core", "adapters"))
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
    ]
    return subprocess.run(
        command,
        cwd=sources,
        env=os.environ | {"PYTHONPATH": roots},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_contracts_are_kept(sources: Path) -> None:
    done = lint_imports(sources)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "statement", "broken"),
    [
        ("core/toolslot/_domain/_slot.py", "import langgraph", "core knows no framework"),
        ("core/toolslot/journal/__init__.py", "import llama_index.core", "core knows no framework"),
        ("core/toolslot/_domain/_slot.py", "import toolslot_langgraph", "core knows no framework"),
        ("core/toolslot/_domain/_slot.py", "import click", "optional packages stay"),
        ("core/toolslot/_domain/_slot.py", "import opentelemetry.trace", "optional packages stay"),
        ("core/toolslot/_domain/_slot.py", "import diskcache", "only the disk journal"),
        ("core/toolslot/journal/__init__.py", "import toolslot._operator", "commands -> views"),
        ("core/toolslot/_domain/_slot.py", "import threading", "the rules do no I/O"),
        ("core/toolslot/_batch/_engine.py", "import toolslot.journal", "a batch knows the port"),
        ("adapters/toolslot_langgraph/_code.py", "from toolslot._text import quoted", "adapters use public"),
        ("adapters/toolslot_llamaindex/_turns.py", "import toolslot._views", "adapters use public"),
        ("core/toolslot/_views/_records.py", "import toolslot._views.timeline", "what draws needs the views"),
        ("core/toolslot/_batch/_request.py", "import toolslot._batch._call", "inside a batch"),
        ("core/toolslot/_batch/_new.py", "", "inside a batch"),
    ],
)
def test_a_planted_import_breaks_its_contract(
    sources: Path, module: str, statement: str, broken: str
) -> None:
    with (sources / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{statement}\n")
    done = lint_imports(sources)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(broken in line and "BROKEN" in line for line in done.stdout.splitlines()), done.stdout


@pytest.mark.parametrize("module", sorted((ROOT / "adapters").rglob("*.py")), ids=lambda path: path.stem)
def test_an_adapter_uses_public_names_of_the_core_only(module: Path) -> None:
    """Of every module, also of one that the import contract does not list yet. The agents of `toolslot demo` are no part of an adapter."""
    private = {name for name in imported_by(module) if name.startswith("toolslot.") and "._" in name}
    if module.stem == "_demo_agent":
        private = {name for name in private if not name.startswith("toolslot._demo")}
    assert private == set()


def imported_by(module: Path) -> set[str]:
    """What a module imports, by dotted name: at its top, in functions and for type checkers alike."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def module_of(file: Path, root: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imports(root: Path) -> dict[str, set[str]]:
    """Which file imports which, wherever the statement stands: under TYPE_CHECKING and in functions too."""
    files = {module_of(file, root): file for file in root.rglob("*.py")}
    found = dict[str, set[str]]()
    for module, file in files.items():
        names = found[module] = set[str]()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                package = module if file.name == "__init__.py" else module.rpartition(".")[0]
                up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*up, *filter(None, [node.module])])
                # `from package import module` is an import of the module, `from package import name` one of the package
                inner = {f"{base}.{alias.name}" for alias in node.names}
                names |= inner & files.keys() or {base}
        found[module] = names & files.keys() - {module}
    return found


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules each of which reaches each, the smallest first."""

    def reached(module: str) -> set[str]:
        seen, todo = set[str](), list(graph[module])
        while todo:
            if (each := todo.pop()) not in seen:
                seen.add(each)
                todo += graph[each]
        return seen

    reach = {module: reached(module) for module in graph}
    groups = {frozenset(a for a in reach[m] if m in reach[a]) for m in graph if m in reach[m]}
    return sorted((sorted(group) for group in groups), key=lambda group: (len(group), group))


@pytest.mark.parametrize("root", ["core", "adapters"])
def test_no_file_imports_one_that_imports_it_in_any_way(root: str) -> None:
    assert circles(imports(ROOT / root)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import toolslot._batch._call",
        "from toolslot._batch import _call",
        "from . import _call",
        "if TYPE_CHECKING:\n    from toolslot._batch._call import Entry",
        "def late() -> None:\n    from toolslot._batch._call import Entry",
    ],
)
def test_an_import_that_closes_a_circle_is_found_wherever_it_stands(sources: Path, statement: str) -> None:
    with (sources / "core/toolslot/_batch/_attempt.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{statement}\n")
    found = circles(imports(sources / "core"))
    assert ["toolslot._batch._attempt", "toolslot._batch._call", "toolslot._batch._repetition"] in found
