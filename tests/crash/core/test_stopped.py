"""A process that is stopped (SIGSTOP), taken over by force and continued later: it changes nothing, and learns that it must stop."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.forked import Child
from support.gate import gate
from support.ledger import Ledger
from toolslot import (
    Batch,
    BatchBusy,
    Call,
    Done,
    DurableExecutor,
    Limits,
    Reason,
    SlotState,
    ToolPolicy,
    UnknownOutcome,
)
from toolslot._domain._slot import BatchRecord

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "plain.py"
ASK = {"pay": ToolPolicy(on_unknown="ask")}


def batch(calls: int) -> Batch:
    return Batch(
        run_id="run",
        batch_id="batch",
        calls=[Call(tool="pay", args={"i": i}, call_id=f"c{i}") for i in range(calls)],
    )


def executor(folder: Path, **settings: object) -> DurableExecutor:
    return DurableExecutor(folder / "journal", policies=ASK, hooks=[], **settings)  # type: ignore[arg-type]


def recorded(executor: DurableExecutor, calls: int) -> BatchRecord:
    record = executor.journal.load(batch(calls).key).result(30)
    assert record is not None
    return record


def test_its_late_result_is_kept_as_evidence_for_whoever_decides(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    args = ("--calls", "2", "--policy", "ask", "--hang-after", "0,1")
    with Child(SCRIPT, str(tmp_path), *args) as first:
        with gate(tmp_path / "release"):
            first.await_line("INSIDE")
            first.signal(signal.SIGSTOP)
            impatient = executor(tmp_path, limits=Limits(busy_timeout=0.2))
            with impatient.open(batch(2)) as run, pytest.raises(BatchBusy):
                run.call(0, lambda: "nobody's")
            with executor(tmp_path).open(batch(2)) as run:
                run.takeover(force=True, why="it does not answer")
                for index in range(2):
                    with pytest.raises(UnknownOutcome):
                        run.call(index, lambda: "must not run")
                before = run.record
        first.signal(signal.SIGCONT)
        assert first.report()["error"] == "Fenced"
    later = executor(tmp_path)
    after = recorded(later, 2)
    assert after.fence.epoch == before.fence.epoch == 2
    for old, new in zip(before.slots, after.slots, strict=True):
        assert (new.state, new.reason, new.attempt) == (SlotState.UNKNOWN, Reason.TAKEN_OVER, old.attempt)
        assert len(new.evidence) == 1
    with later.open(batch(2)) as run:
        for index in range(2):
            seen = run.view(index)
            told = seen.evidence[0].value
            assert told == f"paid {index} by {first.pid}"
            run.decide(index, Done(told), by="ada", why="its late result", version=seen.version)
            assert run.call(index, lambda: "must not run") == told
    assert sorted(ledger.lines()) == sorted(
        line for i in range(2) for line in (f"begin {i}", f"effect {i} {first.pid}")
    )
    later.journal.close()  # type: ignore[attr-defined]


def test_what_it_had_not_begun_it_does_not_begin_any_more(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    args = ("--calls", "4", "--policy", "ask", "--hang-before", "0", "--at-most", "1")
    with Child(SCRIPT, str(tmp_path), *args) as first:
        with gate(tmp_path / "release"):
            first.await_line("INSIDE")
            first.signal(signal.SIGSTOP)
            second = executor(tmp_path)
            with second.open(batch(4)) as run:
                run.takeover(force=True, why="it does not answer")
                assert [run.call(index, lambda: "second's") for index in (1, 2, 3)] == ["second's"] * 3
        first.signal(signal.SIGCONT)
        report = first.report()
    assert report["error"] == "Fenced", "the first failure in the order of the calls"
    assert ledger.counts("begin", range(4)) == [1, 0, 0, 0]
    record = recorded(second, 4)
    assert [slot.state for slot in record.slots] == [SlotState.UNKNOWN] + [SlotState.SUCCEEDED] * 3
    assert len(record.slots[0].evidence) == 1
    second.journal.close()
