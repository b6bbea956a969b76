"""`toolslot demo` as a person meets it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest
from click.testing import CliRunner

from toolslot import DiskJournal
from toolslot._demo import _view
from toolslot._demo._frameworks import FRAMEWORKS, Framework
from toolslot._demo._judge import judge
from toolslot._demo._run import DemoReport, missing_packages
from toolslot._demo._side import SideRun
from toolslot.cli import _demo, cli

# More time than a person would wait: other tests may keep the machine busy.
DEMO = [sys.executable, "-m", "toolslot", "demo", "--seconds", "80"]

ABSENT = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv = ["toolslot", *{options!r}]
runpy.run_module("toolslot", run_name="__main__")
"""


def run(command: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=90)


@pytest.fixture
def broken(plain: SideRun, monkeypatch: pytest.MonkeyPatch) -> DemoReport:
    """The command is given a durable side that paid twice: the plain one, which really did."""
    report = DemoReport(
        framework=FRAMEWORKS["langgraph"],
        plain=plain,
        durable=plain,
        problems=judge(plain.report),
        seconds=3.0,
    )
    for module in (_demo, _view):
        monkeypatch.setattr(module, "run_demo", lambda *_args, **_settings: report)
    return report


@pytest.mark.crash
def test_a_ledger_that_disagrees_with_the_promise_ends_with_code_1(broken: DemoReport) -> None:
    result = CliRunner().invoke(cli, ["demo"])
    assert result.exit_code == 1
    assert "PROMISE BROKEN" in result.output
    assert all(problem in re.sub(r"\s+", " ", result.output) for problem in broken.problems)


@pytest.mark.crash
def test_a_ledger_that_disagrees_with_the_promise_ends_with_code_1_as_json_too(broken: DemoReport) -> None:
    result = CliRunner().invoke(cli, ["demo", "--json"])
    assert result.exit_code == 1
    facts = json.loads(result.output)
    assert facts["promise_kept"] is False
    assert facts["problems"] == list(broken.problems)


@pytest.mark.crash
def test_money_paid_twice_is_said_plainly(broken: DemoReport) -> None:
    output = CliRunner().invoke(cli, ["demo"]).output
    assert re.search(r"pay rent .* TWICE", output)
    assert "1,590.00 EUR too much" in output
    assert broken.plain.report.moved - broken.plain.report.owed == 159_000


@dataclass(frozen=True)
class Ran:
    framework: str
    done: subprocess.CompletedProcess[str]
    kept: Path

    @property
    def facts(self) -> Any:
        return json.loads(self.done.stdout)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The whole demo, once per framework: four agent processes, two of them killed."""
    kept = tmp_path_factory.mktemp("demo") / "kept"
    done = run([*DEMO, f"--framework={request.param}", "--json", "--keep", str(kept)])
    return Ran(framework=request.param, done=done, kept=kept)


@pytest.mark.crash
def test_the_demo_ends_with_code_0_and_says_that_the_promise_was_kept(demo: Ran) -> None:
    assert demo.done.returncode == 0, demo.done.stdout + demo.done.stderr
    assert demo.done.stderr == ""
    assert (demo.facts["promise_kept"], demo.facts["problems"]) == (True, [])
    assert demo.facts["framework"] == demo.framework


@pytest.mark.crash
def test_the_durable_side_replays_runs_and_reconciles(demo: Ran) -> None:
    assert [call["on_resume"] for call in demo.facts["durable"]["calls"]] == [
        "replayed",
        "replayed",
        "replayed",
        "replayed",
        "run again",
        "reconciled: paid",
        "reconciled: run",
        "run",
    ]


@pytest.mark.crash
def test_the_durable_side_pays_every_invoice_once(demo: Ran) -> None:
    durable = demo.facts["durable"]
    assert [call["times_booked"] for call in durable["calls"]] == [0, 1, 1, 0, 0, 1, 1, 1]
    assert durable["cents_moved"] == durable["cents_owed"]


@pytest.mark.crash
def test_no_payment_was_even_sent_twice_so_that_the_bank_never_needs_the_key(demo: Ran) -> None:
    assert demo.facts["durable"]["repeats_refused_by_key"] == 0


@pytest.mark.crash
def test_the_plain_side_of_the_same_demo_pays_three_invoices_twice(demo: Ran) -> None:
    assert demo.facts["plain"]["payments"] == 8
    assert [call["times_booked"] for call in demo.facts["plain"]["calls"]] == [0, 2, 2, 0, 0, 2, 1, 1]


@pytest.mark.crash
def test_the_journal_knew_at_the_kill_what_the_resume_then_did(demo: Ran) -> None:
    assert [call["journal_at_kill"] for call in demo.facts["durable"]["calls"]] == [
        "succeeded",
        "succeeded",
        "succeeded",
        "failed",
        "reserved/running",
        "running",
        "running",
        "reserved",
    ]


@pytest.mark.crash
def test_at_the_end_the_journal_holds_a_result_for_every_call(demo: Ran) -> None:
    after = {call["call_id"]: call["journal_after"] for call in demo.facts["durable"]["calls"]}
    assert after.pop("call_inv_404") == "failed"
    assert set(after.values()) == {"succeeded"}


@pytest.mark.crash
def test_kept_files_are_the_ledgers_the_checkpoints_and_the_journal(demo: Ran) -> None:
    assert {path.name for path in demo.kept.iterdir()} == {"plain", "durable"}
    own = {"checkpoints.db"} if demo.framework == "langgraph" else set[str]()
    for side in ("plain", "durable"):
        assert {"ledger.db", "answers.json", *own} <= {f.name for f in (demo.kept / side).iterdir()}
    assert (demo.kept / "durable" / "journal").is_dir()


@pytest.mark.crash
@pytest.mark.parametrize(
    ("framework", "columns", "encoding"),
    [("langgraph", 80, "utf-8"), ("langgraph", 120, "ascii"), ("llamaindex", 80, "ascii")],
)
def test_where_there_is_no_terminal_the_output_is_plain_text_that_fits(
    framework: str, columns: int, encoding: str, tmp_path: Path
) -> None:
    done = run(
        [*DEMO, f"--framework={framework}"],
        COLUMNS=str(columns),
        PYTHONIOENCODING=encoding,
        TMPDIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= columns
    assert "PROMISE KEPT" in done.stdout
    assert done.stderr == ""
    assert not list(tmp_path.iterdir()), "the demo left files behind"


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
    result = CliRunner().invoke(cli, ["demo", "--keep", str(tmp_path)])
    assert result.exit_code == 3
    assert "is not empty" in result.output


def test_a_demo_out_of_time_ends_with_code_3_and_the_option_that_helps() -> None:
    result = CliRunner().invoke(cli, ["demo", "--json", "--seconds", "0.01"])
    assert result.exit_code == 3
    assert "toolslot demo --seconds" in result.output


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ([], 'the demo also needs langgraph: pip install "toolslot[demo]"'),
        (
            ["--framework", "llamaindex"],
            "the demo also needs llama-index-core: pip install 'toolslot[cli,llamaindex]'",
        ),
    ],
)
def test_missing_packages_are_named_with_the_extra_that_brings_them(
    options: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name in ("langgraph", "llama-index-core"):
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    result = CliRunner().invoke(cli, ["demo", *options])
    assert result.exit_code == 3
    assert hint in result.output


@pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
def test_nothing_is_missing_here(framework: Framework) -> None:
    assert missing_packages(framework) == ()


def test_a_framework_that_is_not_known_is_refused_with_those_that_are() -> None:
    result = CliRunner().invoke(cli, ["demo", "--framework", "crewai"])
    assert result.exit_code == 3
    assert all(name in result.output for name in FRAMEWORKS)


@pytest.mark.parametrize(
    ("package", "options", "hint"),
    [
        ("click", ["demo"], 'pip install "toolslot[cli]"'),
        ("rich", ["demo"], 'pip install "toolslot[demo]"'),
        ("rich", ["demo", "--framework=llamaindex"], "pip install 'toolslot[cli,llamaindex]'"),
    ],
)
def test_without_its_packages_the_command_gives_one_hint_and_no_traceback(
    package: str, options: list[str], hint: str
) -> None:
    done = run([sys.executable, "-c", ABSENT.format(package=package, options=options)])
    assert done.returncode == 3
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert hint in done.stderr


def test_where_another_package_brought_click_alone_a_view_gives_the_same_hint(tmp_path: Path) -> None:
    DiskJournal.open(tmp_path).close()
    options = ["runs", "--journal", str(tmp_path)]
    done = run([sys.executable, "-c", ABSENT.format(package="rich", options=options)])
    assert done.returncode == 3
    assert done.stderr == 'The toolslot command needs click and rich: pip install "toolslot[cli]"\n'


def test_the_command_imports_no_adapter_and_no_framework() -> None:
    done = run(
        [sys.executable, "-c", "import sys, toolslot.cli; print(*{n.partition('.')[0] for n in sys.modules})"]
    )
    assert done.returncode == 0, done.stderr
    unwanted = {"langchain_core", "langgraph", "llama_index", "toolslot_langgraph", "toolslot_llamaindex"}
    assert not unwanted & set(done.stdout.split())
