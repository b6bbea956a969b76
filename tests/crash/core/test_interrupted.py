"""Ctrl-C anywhere in a sync run: the batch resumes in the same process, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.forked import run
from support.ledger import Ledger
from support.nightly import NIGHTLY
from toolslot import BatchKey
from toolslot.journal import DiskJournal

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).parent / "interrupted.py"
#: every so-manyth line by day, every line by night
STEP = 1 if NIGHTLY else 97


@pytest.mark.parametrize("how", ["call", "run_all"])
def test_interrupted_at_any_line_a_run_resumes_in_the_same_process_and_in_another(
    tmp_path: Path, how: str
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    lines = run(SCRIPT, [str(whole), "0", how])["lines"]
    assert lines > 100
    stuck: dict[str, object] = {}
    for line in range(1, lines + 1, STEP):
        folder = tmp_path / str(line)
        folder.mkdir()
        report = run(SCRIPT, [str(folder), str(line), how])
        if report["again"] != ["paid 0", "paid 1"]:
            stuck[f"{line} {report['where']}"] = report["again"]
        assert Ledger(folder / "ledger").counts("effect", range(2)) == [1, 1]
        with DiskJournal.open(folder / "journal", read_only=True) as journal:
            record = journal.load(BatchKey("run", "batch")).result(30)
            assert record is not None
            assert record.settled
    assert stuck == {}
