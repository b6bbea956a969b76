"""Whether a thread has kept the answers of a batch: what its saved checkpoints tell.

All answers of a batch may have been handed to LangGraph, and the process dies before LangGraph has saved them. To the thread that step
never was, so running it again is no time travel, whether the thread is resumed by its id or by the name of its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from toolslot import BatchKey
from toolslot_langgraph._compat import (
    checkpointer_of,
    configurable,
    durability,
    named_checkpoint,
    thread_in_saver,
)
from toolslot_langgraph._identity import Place, where_it_ran


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A checkpoint in the saver. `source` says what made it: "input", "loop", "update" or "fork". Ids grow with time."""

    id: str
    parent: str | None
    source: str | None


def went_on(saved: Iterable[Saved], batch: str, *, now: str, named: bool, alone: bool = False) -> bool:
    """Whether the thread went on from the answers of the batch that ran at checkpoint `batch`.

    Args:
        saved: The checkpoints of the graph, at least those from the first that is older than `batch`.
        batch: Where the batch ran.
        now: Where the same response is run now; it may be saved or not.
        named: Whether the run that is under way was told from which checkpoint to go on.
        alone: Whether these checkpoints are those of one entrance into a sub-graph, which both belong to.
    """
    known = {each.id: each for each in saved}
    later = [known[name] for name in sorted(known) if name > batch]
    if batch in known:
        branches = {batch}
        for each in (each for each in later if each.id != now):
            if each.parent in branches and each.source == "loop":
                return True
            # A person who speaks instead drops the answers, whatever comes after it.
            if each.parent in branches and each.source != "input":
                branches.add(each.id)
        return False

    # It was never saved, or is gone. Never saved it was when the thread, resumed by its id alone, came past it from an older one; or the
    # sub-graph began again.
    def regular(each: Saved) -> bool:
        begun = alone and each.source == "input" and each.parent is None
        return begun or (each.source == "loop" and each.parent in known)

    past = alone or min(known, default=batch) < batch
    return named or not past or not all(map(regular, later))


class History:
    """The saved checkpoints of the thread in which a node runs, looked at when an earlier batch of the same response is found."""

    def __init__(self, saver: BaseCheckpointSaver[Any], place: Place, thread: object, *, named: bool) -> None:
        self._saver = saver
        self._place = place
        self._thread = thread
        self._named = named

    @classmethod
    def of(cls, place: Place, config: RunnableConfig) -> History | None:
        """None where no batch of the same response can be found, or the thread has its answers for certain: in a run that has come back to
        the response, or that saves nothing before its end, so that after a crash the model is asked again.
        """
        saver = checkpointer_of(config)
        if saver is None or place.lineage is None or place.again or durability(config) == "exit":
            return None
        return cls(saver, place, thread_in_saver(config), named=named_checkpoint(config, place.run_id))

    def kept(self, earlier: BatchKey) -> bool:
        """Whether the answers of that batch were saved. A saver that cannot list checkpoints is believed to have kept everything."""
        reading = _Reading(self._place, self._thread, earlier)
        try:
            while reading.wants_more:
                reading.take([*self._saver.list(reading.config, before=reading.before, limit=_PAGE)])
        except NotImplementedError:
            return True
        return reading.went_on(named=self._named)

    async def akept(self, earlier: BatchKey) -> bool:
        """As `kept`."""
        reading = _Reading(self._place, self._thread, earlier)
        try:
            while reading.wants_more:
                page = self._saver.alist(reading.config, before=reading.before, limit=_PAGE)
                reading.take([each async for each in page])
        except NotImplementedError:
            return True
        return reading.went_on(named=self._named)


#: checkpoints that are read at once. Each page is read to its end: a saver may hold a lock until then.
_PAGE = 16


class _Reading:
    """The thread's checkpoints, the newest first, as far back as they tell of the batch."""

    def __init__(self, place: Place, thread: object, earlier: BatchKey) -> None:
        self._namespace, self._batch = where_it_ran(earlier.batch_id, shared=place.shared)
        self._here = where_it_ran(place.batch_id, shared=place.shared)
        self._found: list[Saved] = []
        self.config: RunnableConfig = {
            "configurable": {"thread_id": thread, "checkpoint_ns": self._namespace}
        }
        self.before: RunnableConfig | None = None
        self.wants_more = True

    def take(self, page: Sequence[CheckpointTuple]) -> None:
        self._found += map(_saved, page)
        self.before = page[-1].config if page else None
        self.wants_more = len(page) == _PAGE and self._found[-1].id > self._batch

    def went_on(self, *, named: bool) -> bool:
        namespace, now = self._here
        alone = bool(namespace) and namespace == self._namespace
        return went_on(self._found, self._batch, now=now, named=named, alone=alone)


def _saved(found: CheckpointTuple) -> Saved:
    parent: object = configurable(found.parent_config or {}).get("checkpoint_id")
    return Saved(
        id=found.checkpoint["id"],
        parent=parent if isinstance(parent, str) else None,
        source=found.metadata.get("source"),
    )
