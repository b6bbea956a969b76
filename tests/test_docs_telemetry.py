"""The guide on telemetry: its blocks run, and its tables list what is there and nothing else."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.guides import blocks, sections
from support.harness import World, batch, die_inside
from toolslot import EventKind, LoggingHook
from toolslot.instrumentation import _logging

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "telemetry.md").read_text()
SECTIONS = sections(GUIDE)
TOOLS: Any = {"pay": lambda i: f"paid {i}", "read": lambda i: f"read {i}"}


def column(text: str, number: int = 0) -> list[str]:
    """The names in code font in one column of the tables."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[number])]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path))
    world = World()
    yield world
    logger = logging.getLogger("toolslot")
    logger.setLevel(logging.NOTSET)
    for handler in [h for h in logger.handlers if isinstance(h, logging.StreamHandler)]:
        logger.removeHandler(handler)


def run(heading: str, **given: Any) -> dict[str, Any]:
    found = {"__name__": "guide", **given}
    for number, block in enumerate(blocks(SECTIONS[heading])):
        exec(compile(block, f"{heading}, block {number}", "exec"), found)
    return found


def test_the_table_of_events_lists_every_kind_with_its_level() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\w+) \|$", GUIDE.partition("## Logs")[0], re.MULTILINE)
    levels = {kind.value: logging.DEBUG for kind in EventKind}
    levels |= {kind.value: level for kind, level in vars(_logging)["_LEVELS"].items()}
    assert dict(rows) == {name: logging.getLevelName(level) for name, level in levels.items()}


def test_json_lines_hold_what_the_guide_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr("sys.stderr", heard)
    run("Logs")
    world.executor(hooks=[LoggingHook()]).run_all(batch("pay"), TOOLS)
    lines = [json.loads(line) for line in heard.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        "toolslot.reserved",
        "toolslot.started",
        "toolslot.finished",
        "toolslot.batch",
    ]
    assert {**lines[2], "latency": 0, "message": ""} == {
        "level": "DEBUG",
        "message": "",
        "event": "toolslot.finished",
        "run_id": "run-1",
        "batch_id": "b-1",
        "slot_index": 0,
        "tool": "pay",
        "call_id": "c0",
        "state": "succeeded",
        "attempt": 1,
        "latency": 0,
    }


def test_the_table_of_fields_lists_those_that_records_have(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_LOG_ARGS", "1")
    plain = {*vars(logging.makeLogRecord({})), "message"}
    with caplog.at_level(logging.DEBUG, "toolslot"):
        world.executor(hooks=[LoggingHook()]).run_all(batch("pay"), TOOLS)
    found = {name for record in caplog.records for name in vars(record)} - plain
    assert found == {*column(SECTIONS["Logs"].partition("As JSON")[0])} - {"toolslot.batch"}


def test_the_table_of_notices_lists_every_one_that_the_code_has() -> None:
    listed = [name for name in column(SECTIONS["Logs"]) if name.startswith("toolslot.")]
    code = "".join(path.read_text() for part in ("core", "adapters") for path in (ROOT / part).rglob("*.py"))
    logged = {
        *re.findall(r"\"(toolslot\.[a-z_]+) ", code),
        *re.findall(r"exception\(\"(toolslot\.\w+)", code),
    }
    assert {*listed} == logged - {"toolslot.batch"}


def test_the_first_block_of_opentelemetry_gives_an_executor_that_works() -> None:
    pytest.importorskip("opentelemetry")
    executor = run("OpenTelemetry")["executor"]
    assert executor.run_all(batch("pay"), TOOLS) == ["paid 0"]
    executor.journal.close()


def test_the_guide_lists_every_name_that_opentelemetry_sees() -> None:
    pytest.importorskip("opentelemetry")
    from toolslot.instrumentation._opentelemetry import _names

    listed = {
        *re.findall(r"`([a-z_]+\.[a-z_.]+)`", SECTIONS["OpenTelemetry"]),
        *column(SECTIONS["OpenTelemetry"]),
    }
    for name, value in vars(_names).items():
        if isinstance(value, str) and "." in value and not name.startswith("__"):
            assert value in listed, name


def test_hooks_that_the_guide_shows_hear_what_it_says(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = run("The run's own stream")["executor"]
    executor.run_all(batch("pay"), TOOLS)
    executor.journal.close()
    assert capsys.readouterr().out.split() == ["reserved", "started", "finished", "batch"]
    page_somebody = run("Hooks of your own")["page_somebody"]
    die_inside(world, world.executor())
    world.executor(hooks=[page_somebody]).run_all(batch("pay"), TOOLS)
    assert capsys.readouterr().out == "pay in run run-1: it is not known whether it was done\n"


def test_the_methods_of_a_hook_that_the_guide_lists_are_those_that_are_looked_for() -> None:
    listed = [name.partition("(")[0] for name in column(SECTIONS["Hooks of your own"])]
    code = (ROOT / "core" / "toolslot" / "_batch" / "_hooks.py").read_text()
    looked_for = re.findall(r"_having\(\"(\w+)\"\)|getattr\(hook, \"(\w+)\"", code)
    assert {*listed} == {first or second for first, second in looked_for}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
