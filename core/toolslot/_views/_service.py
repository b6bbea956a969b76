"""Questions about a journal. It may be worked on meanwhile; each answer is from one snapshot of each batch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice

from toolslot._domain._port import Journal, effects_of, read_batches
from toolslot._domain._slot import BatchHistory, BatchKey
from toolslot._errors import JournalCorrupt
from toolslot._views._effects import EffectView, effect_view
from toolslot._views._records import BatchView, PendingCall, RunSummary, RunView
from toolslot._views._telling import batch_view


class Insights:
    """Reads a journal for views; opened read-only it holds up no agent.

    All methods block, and raise `JournalError` when the journal cannot be read. A batch that is damaged is named and hides no other.
    `clock` gives wall-clock seconds: it says when a run was read.
    """

    def __init__(self, journal: Journal, *, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._clock = clock

    @property
    def location(self) -> str:
        return self._journal.location

    def run_ids(self) -> tuple[str, ...]:
        """Every run, the one with the newest batch first."""
        return tuple(dict.fromkeys(key.run_id for key in reversed(self._journal.keys().result())))

    def keys(self, run_id: str | None = None) -> tuple[BatchKey, ...]:
        """The batches of a run, or of all runs, oldest first."""
        return self._journal.keys(run_id).result()

    def runs(self, limit: int | None = 20) -> tuple[RunSummary, ...]:
        """The newest runs, newest first; None is all of them."""
        return tuple(islice(self.each_run(), limit))

    def each_run(self) -> Iterator[RunSummary]:
        """Every run, newest first; some dozens of batches are read when the first of them is asked for."""
        keys: dict[str, list[BatchKey]] = {}
        for key in reversed(self.keys()):
            keys.setdefault(key.run_id, []).append(key)
        batches = self.batches([key for found in keys.values() for key in reversed(found)])
        for run_id, found in groupby(batches, lambda each: each[0].run_id):
            yield _summary(_run_view(run_id, [batch for _, batch in found], self._clock()))

    def run(self, run_id: str, *, reveal: bool = False) -> RunView | None:
        """The run, None when the journal does not hold it. `reveal`: with arguments, results and messages of errors."""
        keys = self._journal.keys(run_id).result()
        return self._run(run_id, keys, reveal=reveal) if keys else None

    def batch(self, key: BatchKey, *, reveal: bool = False) -> BatchView | None:
        """One batch; a key that adopted it names it too."""
        history = self._journal.history(key).result()
        return None if history is None else batch_view(history, reveal=reveal)

    def batches(
        self, keys: Sequence[BatchKey], *, reveal: bool = False
    ) -> Iterator[tuple[BatchKey, BatchView | JournalCorrupt]]:
        """These batches, read some dozens at once; those that were purged meanwhile are left out. For one that is damaged there is what
        is wrong with it.
        """
        for key, found in read_batches(self._journal, keys):
            if isinstance(found, BatchHistory):
                yield key, batch_view(found, reveal=reveal)
            elif isinstance(found, JournalCorrupt):
                yield key, found
            elif found is not None:
                raise found

    def pending(self, run_id: str | None = None, *, reveal: bool = False) -> tuple[PendingCall, ...]:
        """The calls of unknown outcome of one run or all, oldest batch first. Policies may still settle some of them on resume.

        `reveal` as for `run`.
        """
        return tuple(
            _pending(batch, index)
            for _, batch in self.batches(self.keys(run_id), reveal=reveal)
            if isinstance(batch, BatchView)  # of one that is damaged `toolslot doctor` tells
            for index in range(len(batch.pending))
        )

    def effects(self) -> Iterator[EffectView]:
        """What calls with an effect key have done in the world, or may have; in no order that means anything."""
        return map(effect_view, effects_of(self._journal))

    def _run(self, run_id: str, keys: Sequence[BatchKey], *, reveal: bool = False) -> RunView:
        found = [batch for _, batch in self.batches(keys, reveal=reveal)]
        return _run_view(run_id, found, self._clock())


def _run_view(run_id: str, found: Sequence[BatchView | JournalCorrupt], read_at: float) -> RunView:
    return RunView(
        run_id=run_id,
        batches=tuple(batch for batch in found if isinstance(batch, BatchView)),
        damaged=tuple(str(error) for error in found if isinstance(error, JournalCorrupt)),
        read_at=read_at,
    )


def _pending(batch: BatchView, index: int) -> PendingCall:
    return PendingCall(
        call=batch.pending[index],
        batch_state=batch.state,
        owner_state=batch.owner_state,
        adapter=batch.adapter,
    )


def _summary(run: RunView) -> RunSummary:
    calls = run.calls
    return RunSummary(
        run_id=run.run_id,
        state=run.state,
        adapters=tuple(dict.fromkeys(batch.adapter for batch in run.batches)),
        batches=len(run.batches),
        calls=len(calls),
        counts=dict(Counter(call.state for call in calls)),
        replayed=sum(call.replayed for call in calls),
        deduplicated=sum(call.result_of is not None for call in calls),
        pending=len(run.pending),
        began=min((batch.created for batch in run.batches), default=0.0),
        last_activity=max((batch.ended_at for batch in run.batches), default=0.0),
        damaged=run.damaged,
    )
