"""Which batches are worked on, look after look."""

from __future__ import annotations

from toolslot._domain._slot import BatchKey
from toolslot._errors import JournalCorrupt
from toolslot._views import BatchStatus, BatchView, Insights

#: nothing of these runs again
_OVER = (BatchStatus.CLOSED, BatchStatus.FINISHED)


class Watcher:
    """Looks at a journal again and again; what is over is looked at once."""

    def __init__(self, insights: Insights, run_id: str | None = None) -> None:
        self._insights = insights
        self._run_id = run_id
        self._over: set[BatchKey] = set()
        self._running: set[BatchKey] = set()
        #: batches seen at work that were left with calls a person must decide about
        self.undecided: set[BatchKey] = set()

    def look(self) -> tuple[BatchView, ...]:
        """The batches that are worked on now, and how those stand that were at the look before. Oldest first."""
        seen: list[BatchView] = []
        keys = [key for key in self._insights.keys(self._run_id) if key not in self._over]
        for key, batch in self._insights.batches(keys):
            if isinstance(batch, JournalCorrupt):
                self._over.add(key)  # `toolslot doctor` tells of it
                continue
            running = batch.state is BatchStatus.RUNNING
            if running or key in self._running:
                seen.append(batch)
            (self._running.add if running else self._running.discard)(key)
            (self.undecided.add if seen and seen[-1] is batch and batch.pending else self.undecided.discard)(
                key
            )
            if batch.state in _OVER:
                self._over.add(key)
        return tuple(seen)
