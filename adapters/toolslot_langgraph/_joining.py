"""Opening the batch of a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from langchain_core.messages import ToolCall
from langchain_core.runnables import RunnableConfig
from typing_extensions import override

from toolslot import Batch, BatchRun, Call, DurableExecutor
from toolslot_langgraph._history import History
from toolslot_langgraph._identity import Place
from toolslot_langgraph._settings import Settings


class _Calls(Sequence[Call]):
    """The calls of a response, each made when it is asked for: of the many tasks that have one call each only the first needs them all."""

    __slots__ = ("_calls",)

    def __init__(self, calls: Sequence[ToolCall]) -> None:
        self._calls = calls

    def __len__(self) -> int:
        return len(self._calls)

    @overload
    def __getitem__(self, index: int) -> Call: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Call]: ...

    @override
    def __getitem__(self, index: int | slice) -> Call | Sequence[Call]:
        if isinstance(index, slice):
            return _Calls(self._calls[index])
        call = self._calls[index]
        return Call(tool=call["name"], args=call["args"], call_id=call["id"] or "")


def opened(
    executor: DurableExecutor, place: Place, config: RunnableConfig, settings: Settings, *, awaits: bool
) -> BatchRun:
    """A run of the place's batch, not entered yet; its calls are entered as soon as it is. `awaits`: that will be by `async with`."""
    own = [place.calls[index]["name"] for index in place.indices]
    at_once = executor.workers(own, config.get("max_concurrency"))
    history = History.of(place, config)
    batch = Batch(
        run_id=place.run_id,
        batch_id=place.batch_id,
        calls=_Calls(place.calls),
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
