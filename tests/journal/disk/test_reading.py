"""What is shown of a journal costs a bounded number of questions to the database, however many batches there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.apart import open_apart
from support.batches import database, reserve
from toolslot._domain._slot import Verdict
from toolslot._errors import JournalCorrupt
from toolslot._operator import abandon
from toolslot._views import BatchView, Insights
from toolslot.journal import DiskJournal
from toolslot.testing._worker import PATIENCE, Worker


def fill(journal: DiskJournal, batches: int) -> list[Worker]:
    """So many batches of one run, and as many runs of one batch; the first call of each is over and the second unknown."""
    workers = [reserve(journal, 2, batch=f"{n}") for n in range(batches)]
    workers += [reserve(journal, 2, run=f"run {n}") for n in range(batches)]
    for worker in workers:
        worker.run(0)
        worker.doubt(1)
    return workers


def statements(journal: DiskJournal, ask: Callable[[], object]) -> int:
    core = journal._session.present()
    assert core is not None
    store: Any = core.writer._store
    seen: list[str] = []
    journal._ask(lambda _: store.connection.set_trace_callback(seen.append)).result(PATIENCE)
    ask()
    journal._ask(lambda _: store.connection.set_trace_callback(None)).result(PATIENCE)
    return len([text for text in seen if not text.startswith(("BEGIN", "ROLLBACK"))])


LOOKS: dict[str, Callable[[DiskJournal], object]] = {
    "a run": lambda journal: Insights(journal).run("run"),
    "runs": lambda journal: Insights(journal).runs(None),
    "pending": lambda journal: Insights(journal).pending(),
    "abandon": lambda journal: abandon(journal, "run", by="ann", why="old", batch_ids=()),
}


@pytest.mark.parametrize("memory", ["nothing known", "all known", "changed by others"])
@pytest.mark.parametrize("look", LOOKS)
def test_a_look_takes_as_many_statements_for_10_batches_as_for_5(
    tmp_path: Path, look: str, memory: str
) -> None:
    counts: list[int] = []
    for batches in (5, 10):
        root = tmp_path / f"{batches}"
        with closing(open_apart(root)) as writer, DiskJournal.open(root) as journal:
            workers = fill(journal if memory != "nothing known" else writer, batches)
            if memory == "changed by others":
                workers[0].through(writer).decide(1, Verdict.DONE)
            counts.append(statements(journal, lambda journal=journal: LOOKS[look](journal)))
    assert counts[0] == counts[1] <= 12


def test_a_long_run_is_read_in_pieces(journal: DiskJournal, root: Path) -> None:
    for number in range(120):
        reserve(journal, 1, batch=f"{number:03}")
    with closing(open_apart(root)) as reader:
        count = statements(reader, lambda: Insights(reader).run("run"))
        run = Insights(reader).run("run")
    assert count < 25
    assert run is not None
    assert [batch.batch_id for batch in run.batches] == [f"{number:03}" for number in range(120)]


def test_what_is_damaged_hides_nothing_that_is_read_with_it(journal: DiskJournal, root: Path) -> None:
    workers = [reserve(journal, 2, batch=f"{number}") for number in range(5)]
    for change, key in (
        ("value = x'00'", "b/run/1/#m"),
        ("mode = 4", "b/run/3/#m"),
        ("value = 'text'", "b/run/4/#f"),
    ):
        with closing(sqlite3.connect(database(root), isolation_level=None)) as connection:
            assert connection.execute(f"UPDATE Cache SET {change} WHERE key = ?", (key,)).rowcount
    with closing(open_apart(root)) as reader:
        found = dict(Insights(reader).batches([worker.key for worker in workers]))
        alone = [reader.history(worker.key).exception(PATIENCE) for worker in workers]
    kinds = [type(found[worker.key]) for worker in workers]
    assert kinds == [BatchView, JournalCorrupt, BatchView, JournalCorrupt, JournalCorrupt]
    assert [str(error) for error in alone if error] == [
        str(each) for each in found.values() if isinstance(each, JournalCorrupt)
    ]
