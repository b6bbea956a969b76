"""What `pip install toolslot` puts on a machine, seen from a wheel that was built from the sdist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

import toolslot

ROOT = Path(__file__).parents[1]
ROOTS = {
    "toolslot": ROOT / "core",
    "toolslot_langgraph": ROOT / "adapters",
    "toolslot_llamaindex": ROOT / "adapters",
}

CONSUMER = """\
from typing_extensions import assert_type

import toolslot
import toolslot_langgraph

assert_type(toolslot.__version__, str)
print(toolslot_langgraph.__name__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel a user would get: source tree -> sdist -> wheel."""
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, "sdist", out)
    with tarfile.open(next(out.glob("*.tar.gz"))) as sdist:
        sdist.extractall(out, filter="data") if hasattr(tarfile, "data_filter") else sdist.extractall(out)
    build(next(path for path in out.iterdir() if path.is_dir()), "wheel", out)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def build(source: Path, target: str, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def requirements(metadata: Message) -> dict[str, set[str]]:
    """The names of required projects by extra; `""` holds those that everybody gets."""
    found: dict[str, set[str]] = {"": set()} | {
        extra: set() for extra in metadata.get_all("Provides-Extra", [])
    }
    for line in metadata.get_all("Requires-Dist", []):
        extra = re.search(r"""extra == ['"]([\w-]+)['"]""", line)
        project = re.match(r"[\w.-]+", line)
        assert project, line
        found[extra.group(1) if extra else ""].add(project.group())
    return found


@pytest.mark.parametrize("package", sorted(ROOTS))
def test_the_wheel_holds_every_module_and_marker_of_a_package(wheel: Path, package: str) -> None:
    root = ROOTS[package]
    files = (path for path in (root / package).rglob("*.*") if path.suffix in {".py", ".css", ".js"})
    expected = {path.relative_to(root).as_posix() for path in files}
    packed = {name for name in names(wheel) if name.startswith(f"{package}/")}
    assert packed == expected | {f"{package}/py.typed"}


def test_the_wheel_installs_the_packages_and_nothing_else(wheel: Path) -> None:
    version = toolslot.__version__
    assert {name.split("/")[0] for name in names(wheel)} == {*ROOTS, f"toolslot-{version}.dist-info"}


def test_core_asks_for_diskcache_and_typing_extensions_only(metadata: Message) -> None:
    assert requirements(metadata)[""] == {"diskcache", "typing-extensions"}


def test_the_extra_all_contains_every_other_extra(metadata: Message) -> None:
    by_extra = requirements(metadata)
    assert by_extra.pop("all") == set().union(*by_extra.values()) - by_extra[""]


def test_the_metadata_names_version_licence_and_supported_pythons(wheel: Path, metadata: Message) -> None:
    assert metadata["Version"] == toolslot.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert f"toolslot-{toolslot.__version__}.dist-info/licenses/LICENSE" in names(wheel)
    assert metadata["Requires-Python"] == ">=3.10"


def test_the_command_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "toolslot = toolslot.__main__:main" in archive.read(name).decode()


@pytest.fixture(scope="module")
def consumer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of somebody else, in an environment where toolslot is installed from the wheel."""
    project = tmp_path_factory.mktemp("consumer")
    venv.create(project / "env", with_pip=False)
    where = [python(project), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies come from the environment of the tests. Its own .pth files are not read from here,
    # so the editable toolslot stays out of sight.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (project / "consumer.py").write_text(CONSUMER)
    return project


def python(project: Path) -> Path:
    return project / "env" / "bin" / "python"


def checked(project: Path, *command: str) -> str:
    """Run a tool of the tests' environment; it finds the project's own interpreter first."""
    environ = os.environ | {"PATH": f"{python(project).parent}{os.pathsep}{os.environ['PATH']}"}
    environ |= {"PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT": "1", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    environ.pop("PYTHONPATH", None)
    run = [sys.executable, "-m", *command]
    done = subprocess.run(run, cwd=project, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_installed_package_is_importable(consumer: Path) -> None:
    run = [python(consumer), "-I", "-c", "import toolslot; print(toolslot.__file__)"]
    found = subprocess.run(run, cwd=consumer, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(found).is_relative_to(consumer / "env")


@pytest.mark.slow
@pytest.mark.timeout(
    600
)  # no cache: mypy reads the whole of langgraph, in 15 s of a processor that others may want too
def test_strict_mypy_of_a_consumer_accepts_the_package(consumer: Path) -> None:
    checked(consumer, "mypy", "--strict", "--python-executable", str(python(consumer)), "consumer.py")


@pytest.mark.slow
def test_strict_pyright_of_a_consumer_accepts_the_package(consumer: Path) -> None:
    (consumer / "pyrightconfig.json").write_text('{"include": ["consumer.py"], "typeCheckingMode": "strict"}')
    checked(consumer, "pyright")


@pytest.mark.slow
def test_the_public_types_of_the_core_are_complete(consumer: Path) -> None:
    """For an adapter nobody can promise that: its classes inherit from those of its framework."""
    report = checked(consumer, "pyright", "--ignoreexternal", "--verifytypes", "toolslot")
    assert "toolslot/py.typed" in report
