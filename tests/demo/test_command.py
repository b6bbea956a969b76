"""`toolslot demo` as a person meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from click.testing import CliRunner

from toolslot import cli
from toolslot._demo import _view
from toolslot._demo._judge import judge
from toolslot._demo._run import DemoReport, missing_packages
from toolslot._demo._side import SideRun

DEMO = [sys.executable, "-m", "toolslot", "demo"]

ABSENT = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv = ["toolslot", "demo"]
runpy.run_module("toolslot", run_name="__main__")
"""


def run(command: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=90)


@pytest.fixture
def broken(plain: SideRun, monkeypatch: pytest.MonkeyPatch) -> DemoReport:
    """The command is given a durable side that paid twice: the plain one, which really did."""
    report = DemoReport(plain=plain, durable=plain, problems=judge(plain.report), seconds=3.0)
    for module in (cli, _view):
        monkeypatch.setattr(module, "run_demo", lambda *_args, **_settings: report)
    return report


@pytest.mark.crash
def test_a_ledger_that_disagrees_with_the_promise_ends_with_code_1(broken: DemoReport) -> None:
    result = CliRunner().invoke(cli.cli, ["demo"])
    assert result.exit_code == 1
    assert "PROMISE BROKEN" in result.output
    assert all(problem in re.sub(r"\s+", " ", result.output) for problem in broken.problems)


@pytest.mark.crash
def test_a_ledger_that_disagrees_with_the_promise_ends_with_code_1_as_json_too(broken: DemoReport) -> None:
    result = CliRunner().invoke(cli.cli, ["demo", "--json"])
    assert result.exit_code == 1
    facts = json.loads(result.output)
    assert facts["promise_kept"] is False
    assert facts["problems"] == list(broken.problems)


@pytest.mark.crash
def test_money_paid_twice_is_said_plainly(broken: DemoReport) -> None:
    output = CliRunner().invoke(cli.cli, ["demo"]).output
    assert re.search(r"pay rent .* TWICE", output)
    assert "1,590.00 EUR too much" in output
    assert broken.plain.report.moved - broken.plain.report.owed == 159_000


@pytest.mark.crash
def test_the_demo_keeps_the_promise_and_says_so_as_json(tmp_path: Path) -> None:
    done = run([*DEMO, "--json", "--keep", str(tmp_path / "kept")])
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert facts["promise_kept"] is True
    assert facts["seconds"] < 30
    durable = facts["durable"]
    assert [call["on_resume"] for call in durable["calls"]] == [
        "replayed",
        "replayed",
        "replayed",
        "replayed",
        "run again",
        "reconciled: paid",
        "reconciled: run",
        "run",
    ]
    assert [call["times_booked"] for call in durable["calls"]] == [0, 1, 1, 0, 0, 1, 1, 1]
    assert durable["cents_moved"] == durable["cents_owed"]
    assert durable["repeats_refused_by_key"] == 0
    assert facts["plain"]["payments"] == 8
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"plain", "durable"}


@pytest.mark.crash
def test_the_journal_says_what_the_resume_then_does(tmp_path: Path) -> None:
    facts = json.loads(run([*DEMO, "--json"], TMPDIR=str(tmp_path)).stdout)
    assert [call["journal_at_kill"] for call in facts["durable"]["calls"]] == [
        "succeeded",
        "succeeded",
        "succeeded",
        "failed",
        "reserved/running",
        "running",
        "running",
        "reserved",
    ]
    after = {call["call_id"]: call["journal_after"] for call in facts["durable"]["calls"]}
    assert after.pop("call_inv_404") == "failed"
    assert set(after.values()) == {"succeeded"}
    assert not list(tmp_path.iterdir()), "the demo left files behind"


@pytest.mark.crash
@pytest.mark.parametrize("columns", [80, 120])
def test_the_output_is_plain_text_that_fits_where_there_is_no_terminal(columns: int) -> None:
    done = run(DEMO, COLUMNS=str(columns))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= columns
    assert "PROMISE KEPT" in done.stdout
    assert done.stderr == ""


@pytest.mark.crash
def test_the_output_needs_no_more_than_ascii() -> None:
    done = run(DEMO, PYTHONIOENCODING="ascii", COLUMNS="120")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.isascii()


@pytest.mark.crash
@pytest.mark.skipif(sys.platform == "win32", reason="process groups and SIGINT are POSIX")
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--keep", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = monotonic() + 30
    while not all((tmp_path / side / "agent-start.log").exists() for side in ("plain", "durable")):
        assert monotonic() < until
        Event().wait(0.01)
    demo.send_signal(signal.SIGINT)  # to the command alone: it has to end the agents itself
    _, said = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert said == "stopped; no process is left\n"
    assert not list(tmp_path.glob("*/answers.json")), "the agents were let run to their end"
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)


def test_a_folder_with_files_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    result = CliRunner().invoke(cli.cli, ["demo", "--keep", str(tmp_path)])
    assert result.exit_code == 2
    assert "is not empty" in result.output


def test_a_demo_out_of_time_ends_with_code_2_and_the_option_that_helps() -> None:
    result = CliRunner().invoke(cli.cli, ["demo", "--json", "--seconds", "0.01"])
    assert result.exit_code == 2
    assert "toolslot demo --seconds" in result.output


def test_missing_packages_are_named_with_the_extra_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "missing_packages", lambda: ("langgraph",))
    result = CliRunner().invoke(cli.cli, ["demo"])
    assert result.exit_code == 2
    assert 'the demo also needs langgraph: pip install "toolslot[demo]"' in result.output


def test_nothing_is_missing_here() -> None:
    assert missing_packages() == ()


@pytest.mark.parametrize(("package", "extra"), [("click", "toolslot[cli]"), ("rich", "toolslot[demo]")])
def test_without_its_packages_the_command_gives_one_hint_and_no_traceback(package: str, extra: str) -> None:
    done = run([sys.executable, "-c", ABSENT.format(package=package)])
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f'pip install "{extra}"' in done.stderr


def test_the_command_imports_no_adapter_and_no_framework() -> None:
    done = run(
        [sys.executable, "-c", "import sys, toolslot.cli; print(*{n.partition('.')[0] for n in sys.modules})"]
    )
    assert done.returncode == 0, done.stderr
    assert not {"langchain_core", "langgraph", "toolslot_langgraph"} & set(done.stdout.split())
