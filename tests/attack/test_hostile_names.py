"""Names that a model, a user or a file chose, in logs, messages, the commands' output and the file system."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.harness import World, batch
from toolslot import (
    Batch,
    BatchKey,
    BatchMismatch,
    Call,
    DiskJournal,
    DurableExecutor,
    InvalidSetting,
    ToolslotError,
)
from toolslot.cli import cli
from toolslot.journal import purge_run

HOSTILE = {
    "escape sequences": "\x1b[2J\x1b]0;owned\x07",
    "line breaks": "ok\nCRITICAL toolslot: all is paid\r",
    "turned around": "pay\u202egnp.exe\u2066",
    "invisible": "pay\u200b\ufeff",
    "markup": "<script>alert(1)</script>[bold red]&amp;",
    "a path": "../../../../etc/passwd",
    "an absolute path": "/etc/cron.d/evil",
    "a format": "%s%n{0.__class__}",
    "a lone surrogate": "\ud800",
    "a NUL": "a\0b",
    "very long": "x" * 2**20,
}


def unsafe(text: str) -> list[str]:
    """What a terminal would act on, or an eye would be misled by; line breaks between our own lines are fine."""
    return [c for line in text.split("\n") for c in line if not c.isprintable()]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_logs_and_errors_show_it_safely(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "toolslot")
    world = World()
    b = Batch(run_id=name, batch_id=name, calls=[Call(tool=name, args={"i": 0}, call_id=name)], lineage=name)
    texts: list[str] = []

    def refused(work: Any) -> None:
        with pytest.raises(ToolslotError) as caught:
            work()
        texts.append(str(caught.value))

    world.executor(hooks=None).run_all(b, {name: lambda i: i})
    other = Batch(run_id=name, batch_id=name, calls=[Call(tool=name, args={"i": 1}, call_id=name)])
    refused(lambda: world.executor(hooks=None).run_all(other, {name: lambda i: i}))
    refused(lambda: world.executor().run_all(Batch(run_id="r", batch_id="b", calls=b.calls), {}))
    longer = Batch(run_id=name, batch_id=name, calls=[*b.calls, *b.calls])
    refused(lambda: world.executor().run_all(longer, {name: lambda i: i}))
    purge_run(world.executor().journal, name, why=name)
    refused(lambda: world.executor().run_all(b, {name: lambda i: i}))
    for text in texts + [record.getMessage() for record in caplog.records] + [str(b.key)]:
        assert unsafe(text) == []
        assert "\n" not in text
        assert len(text) < 3000


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_ids_are_no_file_names_and_the_commands_show_them_safely(name: str, tmp_path: Path) -> None:
    root = tmp_path / "journal"
    with DiskJournal.open(root) as journal:
        executor = DurableExecutor(journal)
        executor.run_all(
            Batch(run_id=name, batch_id=name, calls=[Call(tool=name, args={"i": 0})]), {name: lambda i: i}
        )
        assert journal.load(BatchKey(name, name)).result(30) is not None
        found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    owners = {path for path in found if path.startswith("journal/owners/")}
    assert found - owners <= {
        "journal",
        "journal/.gitignore",
        "journal/commit.holder",
        "journal/commit.lock",
        "journal/db",
        "journal/db/cache.db",
        "journal/db/cache.db-shm",
        "journal/db/cache.db-wal",
        "journal/owners",
    }
    for command in (["doctor", str(root)], ["runs", "--journal", str(root)]):
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output
        assert unsafe(result.output) == []


def test_a_name_that_no_tool_has_is_named_safely() -> None:
    with pytest.raises(InvalidSetting) as caught:
        World().executor().run_all(batch("\x1b[31m"), {"pay": print})
    assert unsafe(str(caught.value)) == []
    assert os.linesep not in str(caught.value)


def test_a_mismatch_names_the_hostile_call_safely() -> None:
    world = World()
    world.executor().run_all(batch("pay"), {"pay": lambda i: i})
    with pytest.raises(BatchMismatch) as caught:
        world.executor().run_all(batch("\x1b[31m"), {"\x1b[31m": lambda i: i})
    assert unsafe(str(caught.value)) == []


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_errors_of_llamaindex_show_it_safely(name: str) -> None:
    pytest.importorskip("llama_index.core")
    from llama_index.core.agent.workflow.workflow_events import AgentOutput, ToolCall
    from llama_index.core.llms import ChatMessage

    from toolslot_llamaindex._records import RunRecord, TurnRecord
    from toolslot_llamaindex._turn import Turn
    from toolslot_llamaindex._values import ValueCodec

    message = ChatMessage(role="user", content="go")
    turn = Turn(
        1,
        TurnRecord(output=AgentOutput(response=message, current_agent_name="a")),
        [],
        ValueCodec.of(),
    )
    with pytest.raises(BatchMismatch) as of_call:
        turn.check(ToolCall(tool_name=name, tool_kwargs={}, tool_id=name), 0)
    with pytest.raises(BatchMismatch) as of_run:
        RunRecord(agent=None, question="q").check(name, "another")
    for caught in (of_call, of_run):
        assert not unsafe(str(caught.value))
        assert len(str(caught.value)) < 1500
