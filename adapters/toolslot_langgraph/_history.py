"""Whether a thread has kept the answers of a batch: what its saved checkpoints tell.

All answers of a batch may have been handed to LangGraph, and the process dies before LangGraph has saved them. To the thread that step
never was, so running it again is no time travel, whether the thread is resumed by its id or by the name of its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from toolslot import BatchKey
from toolslot_langgraph._compat import checkpointer_of, configurable, names_a_checkpoint
from toolslot_langgraph._identity import Place, where_it_ran


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A checkpoint in the saver. `source` says what made it: "input", "loop", "update" or "fork". Ids grow with time."""

    id: str
    parent: str | None
    source: str | None


def went_on(saved: Iterable[Saved], batch: str, *, now: str, named: bool) -> bool:
    """Whether the thread went on from the answers of the batch that ran at checkpoint `batch`.

    Args:
        saved: The checkpoints of the graph, at least those from the first that is older than `batch`.
        batch: Where the batch ran.
        now: Where the same response is run now; it may be saved or not.
        named: Whether the run that is under way was told from which checkpoint to go on.
    """
    known = {each.id: each for each in saved}
    later = [known[name] for name in sorted(known) if name > batch and name != now]
    if batch in known:
        branches = {batch}
        for each in later:
            if each.parent in branches:
                if each.source not in ("fork", "update"):
                    return True
                branches.add(each.id)
        return False
    # It was never saved, or is gone. Never saved it was when the thread, resumed by its id alone, came past it from an older one.
    past = not named and min(known, default=batch) < batch
    return not (past and all(each.source == "loop" and each.parent in known for each in later))


class History:
    """The saved checkpoints of the thread in which a node runs, looked at when an earlier batch of the same response is found."""

    def __init__(self, saver: BaseCheckpointSaver[Any], place: Place, *, named: bool) -> None:
        self._saver = saver
        self._place = place
        self._named = named

    @classmethod
    def of(cls, place: Place, config: RunnableConfig) -> History | None:
        """None where there is none, or no batch of the same response can be found."""
        saver = checkpointer_of(config)
        if saver is None or place.lineage is None:
            return None
        return cls(saver, place, named=names_a_checkpoint(config))

    def kept(self, earlier: BatchKey) -> bool:
        """Whether the answers of that batch were saved. A saver that cannot list checkpoints is believed to have kept everything."""
        namespace, batch = self._where(earlier.batch_id)
        found: list[Saved] = []
        try:
            for each in self._saver.list(self._config(namespace)):  # the newest first
                found.append(_saved(each))
                if found[-1].id < batch:
                    break
        except NotImplementedError:
            return True
        return self._went_on(found, batch)

    async def akept(self, earlier: BatchKey) -> bool:
        """As `kept`."""
        namespace, batch = self._where(earlier.batch_id)
        found: list[Saved] = []
        try:
            async for each in self._saver.alist(self._config(namespace)):
                found.append(_saved(each))
                if found[-1].id < batch:
                    break
        except NotImplementedError:
            return True
        return self._went_on(found, batch)

    def _where(self, batch_id: str) -> tuple[str, str]:
        return where_it_ran(batch_id, grouped=self._place.grouped)

    def _config(self, namespace: str) -> RunnableConfig:
        return {"configurable": {"thread_id": self._place.run_id, "checkpoint_ns": namespace}}

    def _went_on(self, saved: Iterable[Saved], batch: str) -> bool:
        _, now = self._where(self._place.batch_id)
        return went_on(saved, batch, now=now, named=self._named)


def _saved(found: CheckpointTuple) -> Saved:
    parent: object = configurable(found.parent_config or {}).get("checkpoint_id")
    return Saved(
        id=found.checkpoint["id"],
        parent=parent if isinstance(parent, str) else None,
        source=found.metadata.get("source"),
    )
