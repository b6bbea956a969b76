"""The guides that belong to no framework: every Python block runs, and what can drift is compared with the code."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.guides import blocks, sections
from toolslot import (
    Batch,
    BatchMismatch,
    Call,
    DurableExecutor,
    Limits,
    MemoryJournal,
    SlotState,
    ToolPolicy,
    ToolslotError,
    UnknownOutcome,
)
from toolslot.testing import CrashPoint, crash_environment

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
#: pages with Python that have a test file of their own
ELSEWHERE = {"langgraph.md", "llamaindex.md", "operating.md", "telemetry.md", "reliability.md", "seeing.md"}


def text(page: str) -> str:
    return (DOCS / page).read_text()


def prose(page: str) -> str:
    """The page without its code."""
    return re.sub(r"^```.*?^```", "", text(page), flags=re.DOTALL | re.MULTILINE)


class Bank:
    """The service that the guides' tools talk to."""

    def __init__(self) -> None:
        self.receipts: dict[str, str] = {}

    def pay(self, invoice: str, *, idempotency_key: str) -> str:
        return self.receipts.setdefault(idempotency_key, f"receipt for {invoice}")

    def find(self, idempotency_key: str) -> str | None:
        return self.receipts.get(idempotency_key)

    def is_up_to_date(self, since: object) -> bool:
        return True


def pay(invoice: str) -> str:
    """Pay an invoice."""
    return f"receipt for {invoice}"


def balance(account: str) -> str:
    """The balance of an account."""
    return f"5000 on {account}"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs all Python blocks of a page, one after the other, over what a test gives."""
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "journal"))
    ran: list[dict[str, Any]] = []

    def run(page: str, **given: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"__name__": "guide", "pay": pay, "balance": balance, "bank": Bank(), **given}
        ran.append(found)
        for number, block in enumerate(blocks(text(page))):
            exec(compile(block, f"{page}, block {number}", "exec", dont_inherit=True), found)
        return found

    yield run
    for found in ran:
        if "executor" in found:
            found["executor"].journal.close()


# --- each page ----------------------------------------------------------------------------------------------------------


def test_getting_started_works_with_both_frameworks_and_without(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("langchain")
    pytest.importorskip("llama_index.core")
    from langgraph.checkpoint.memory import InMemorySaver

    from support.agents import Model
    from toolslot_llamaindex._demo_agent import ScriptedLLM

    calls = [{"name": "pay", "args": {"invoice": "A-1"}, "id": "c1", "type": "tool_call"}]
    found = run(
        "getting-started.md",
        model=Model(calls=calls),
        checkpointer=InMemorySaver(),
        llm=ScriptedLLM([[("pay", {"invoice": "A-1"})], "Both are paid."]),
    )
    assert [message.text for message in found["state"]["messages"]][2:] == ["receipt for A-1", "done"]
    assert found["results"] == ["receipt for A-1", "5000 on m"]
    assert "order-19: closed · 2 calls" in capsys.readouterr().out
    asyncio.run(found["main"]())
    assert capsys.readouterr().out == "Both are paid.\n"


def test_a_process_that_dies_as_the_guide_on_policies_shows_leaves_a_call_that_runs_again(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from toolslot import Batch, Call, DurableExecutor\n"
        "b = Batch(run_id='r', batch_id='b', calls=[Call(tool='t', args={})])\n"
        "DurableExecutor('journal').run_all(b, {'t': lambda: open('effects', 'a').write('.')})\n"
    )
    monkeypatch.chdir(tmp_path)
    found = run("policies.md", program=str(program))
    assert found["died"].returncode != 0
    assert (tmp_path / "effects").read_text() == ".."  # nothing was declared, so it ran again


def test_the_guide_on_policies_names_every_setting_and_every_answer() -> None:
    from dataclasses import fields

    import toolslot

    page = text("policies.md") + text("limits.md")
    settings = {field.name for field in fields(ToolPolicy)} - {"codec"}
    assert all(f"{name}=" in page for name in settings)
    assert all(f"`{name}(" in page for name in ("Done", "Failed", "NotDone", "StillRunning", "CannotTell"))
    assert hasattr(toolslot, "StillRunning")


def test_limits_are_settings_that_exist_with_the_defaults_that_the_guide_names(run: Any) -> None:
    run("limits.md")
    limits = Limits()
    rows = dict(re.findall(r"^\| `Limits\((\w+)=\)` \| .* \| (\w+) \|$", text("limits.md"), re.MULTILINE))
    assert rows == {
        "batch": str(limits.batch),
        "process": str(limits.process),
        "batch_timeout": "none",
        "busy_timeout": f"{limits.busy_timeout:g}",
    }


def test_the_guide_on_identity_is_refused_and_replayed_as_it_says(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run("identity.md")
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("call 0 of batch order-17/1 was recorded as 'pay'")
    assert shown[-1] == "paid A-3"
    assert found["BatchMismatch"] is BatchMismatch


def test_the_states_on_the_first_page_are_those_there_are() -> None:
    table = text("index.md").partition("A slot is in one of these states")[2]
    told = re.findall(r"^\| ([a-z, ]+) \|", table, re.MULTILINE)
    assert sorted(name.strip() for row in told if row != "state" for name in row.split(",")) == sorted(
        state.value for state in SlotState
    )


# --- another framework --------------------------------------------------------------------------------------------------


def extending(ledger: str) -> str:
    """The program of the guide, its ledger a file that outlives the process."""
    return f"ledger = __import__('support.ledger_file', fromlist=['_']).LedgerFile({ledger!r})\n" + "\n".join(
        blocks(text("extending.md"))
    )


def test_the_framework_of_the_guide_pays_once_live_and_again(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger: list[str] = []
    for _ in range(2):
        run("extending.md", ledger=ledger)["executor"].journal.close()
        assert capsys.readouterr().out == "All is paid.\n"
    assert (len(ledger), len({*ledger})) == (2, 2)


@pytest.mark.crash
@pytest.mark.parametrize("point", [CrashPoint.AFTER_START, CrashPoint.AFTER_RETURN, CrashPoint.AFTER_FINISH])
def test_the_framework_of_the_guide_pays_once_although_it_is_killed(
    tmp_path: Path, point: CrashPoint
) -> None:
    program = tmp_path / "program.py"
    program.write_text(extending(str(tmp_path / "ledger")))
    environ = {**os.environ, "TOOLSLOT_HOME": str(tmp_path / "journal"), "PYTHONPATH": str(ROOT / "tests")}

    def live(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, program], env={**environ, **more}, capture_output=True, text=True, check=False
        )

    assert live(**crash_environment(point)).returncode != 0
    resumed = live()
    assert resumed.stdout == "All is paid.\n", resumed.stderr
    keys = (tmp_path / "ledger").read_text().split()
    assert (len(keys), len({*keys})) == (2, 2)


def test_the_framework_of_the_guide_lets_all_calls_settle_before_it_raises(run: Any) -> None:
    found = run("extending.md", ledger=[])
    paid: list[str] = []

    async def fails() -> str:
        raise LookupError

    async def slow() -> str:
        await asyncio.sleep(0)
        paid.append("slow")
        return "paid"

    async def model(messages: Any) -> Any:
        return [found["ToolCall"]("1", "unknown", {}), found["ToolCall"]("2", "slow", {})]

    executor = found["DurableExecutor"](MemoryJournal(), policies={"unknown": ToolPolicy(on_unknown="fail")})
    agent = found["DurableAgent"](model, {"slow": slow}, executor=executor, run_id="r")
    agent.call_tool = lambda call: (
        fails() if call.name == "unknown" else found["Agent"].call_tool(agent, call)
    )
    with pytest.raises(LookupError):
        asyncio.run(agent.run("go"))
    assert paid == ["slow"]


# --- all pages ----------------------------------------------------------------------------------------------------------


def test_every_page_with_python_is_run_by_a_test() -> None:
    source = Path(__file__).read_text()
    for page in PAGES:
        if blocks(text(page)) and page not in ELSEWHERE:
            assert source.count(f'"{page}"') >= 1, page


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", prose(page)):
        path = DOCS / target if target else DOCS / page
        assert path.exists(), target
        if anchor:
            headings = [_slug(heading) for heading in sections(path.read_text())]
            assert anchor in headings, f"{target}#{anchor}"


def _slug(heading: str) -> str:
    words = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"[-\s]+", "-", words)


def test_the_promise_is_the_same_word_for_word_wherever_it_stands() -> None:
    promise = re.compile(r"Within its batch, .*?never had again\.", re.DOTALL)
    (readme,) = promise.findall((ROOT / "README.md").read_text())
    told = {page: promise.findall(text(page)) for page in PAGES}
    assert {"index.md", "langgraph.md", "llamaindex.md"} <= {page for page, found in told.items() if found}
    for page, found in told.items():
        assert all(" ".join(each.split()) == " ".join(readme.split()) for each in found), page


def test_an_address_of_a_database_is_refused_as_the_guide_on_many_machines_says() -> None:
    with pytest.raises(ToolslotError, match="postgresql"):
        _ = DurableExecutor("postgresql://host/db").journal


@pytest.mark.parametrize("door", ["sync", "async"])
def test_the_host_of_the_guide_that_is_written_once_serves_both_sides(run: Any, door: str) -> None:
    found = run("extending.md", ledger=[])
    made: list[str] = []
    batch = Batch(run_id="r", batch_id="b", calls=[Call(tool="pay", args={"i": i}) for i in range(3)])

    def pay(i: int) -> str:
        made.append(f"paid {i}")
        if i == 1:
            raise LookupError(i)
        return made[-1]

    async def apay(i: int) -> str:
        return pay(i)

    async def aasked(asked: Batch) -> bool:
        return asked is batch

    def answers() -> Any:
        executor = found["DurableExecutor"](journal, default_policy=ToolPolicy(on_unknown="fail"), hooks=[])
        host = found["BothSides"](executor, ask=lambda asked: asked is batch, aask=aasked)
        if door == "sync":
            return host.answers(batch, [partial(pay, i) for i in range(3)])
        return asyncio.run(host.aanswers(batch, [partial(apay, i) for i in range(3)]))

    journal = MemoryJournal()
    with pytest.raises(LookupError):
        answers()
    assert sorted(made) == ["paid 0", "paid 1", "paid 2"]
    with pytest.raises(UnknownOutcome):
        answers()
    assert len(made) == 3, "what is recorded does not run again, and nobody knows of the failed one"
