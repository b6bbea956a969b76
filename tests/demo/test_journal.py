from __future__ import annotations

from contextlib import closing
from pathlib import Path

from toolslot import Batch, Call, DurableExecutor, ToolPolicy
from toolslot._demo._journal import journal_states
from toolslot.journal import open_journal


def test_no_journal_has_no_states(tmp_path: Path) -> None:
    assert journal_states(tmp_path / "journal") == {}
    assert not list(tmp_path.iterdir())


def test_a_call_that_may_have_begun_is_not_called_reserved(tmp_path: Path) -> None:
    """No start is recorded of an idempotent call: until it has a result, nobody knows whether it began."""
    calls = [Call(tool="pay"), Call(tool="pay"), Call(tool="read")]
    with closing(open_journal(tmp_path)) as journal:
        executor = DurableExecutor(journal, policies={"read": ToolPolicy(idempotent=True)})
        with executor.open(Batch(run_id="run", batch_id="batch", calls=calls)) as batch:
            batch.call(0, lambda: "paid")
            states = journal_states(tmp_path)
    assert states == {0: "succeeded", 1: "reserved", 2: "reserved/running"}
