"""Opening the batch of a place."""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig

from toolslot import Batch, BatchRun, Call, DurableExecutor
from toolslot_langgraph._history import History
from toolslot_langgraph._identity import Place
from toolslot_langgraph._settings import Settings


def opened(
    executor: DurableExecutor, place: Place, config: RunnableConfig, settings: Settings, *, awaits: bool
) -> BatchRun:
    """A run of the place's batch, not entered yet; its calls are entered as soon as it is. `awaits`: that will be by `async with`."""
    at_once = executor.workers(
        [place.calls[index]["name"] for index in place.indices], config.get("max_concurrency")
    )
    history = History.of(place, config)
    batch = Batch(
        run_id=place.run_id,
        batch_id=place.batch_id,
        calls=tuple(
            Call(tool=call["name"], args=call["args"], call_id=call["id"] or "") for call in place.calls
        ),
        lineage=place.lineage,
        adapter="langgraph",
        follows=place.follows,
        former=place.former,
        witness=place.witness,
        by_hand=place.by_hand,
        refuse_missing=settings.on_missing == "fail",
    )
    return executor.open(
        batch,
        max_parallel=config.get("max_concurrency"),
        durable=place.durable,
        adopt=settings.adopt,
        kept=None if history is None else history.akept if awaits else history.kept,
        partial=place.partial,
        answered=place.answered,
        entering=place.indices[:at_once],
    )
