"""The loops by which LangGraph runs the steps of the graphs around a task. Like `_compat`: what LangGraph does not promise to keep, checked
at import. Where it is not as expected, a task has no loops that are known.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.pregel._loop import PregelLoop

from toolslot_langgraph._compat import configurable

_CALL = "__pregel_call"

#: a write of LangGraph's that is under way or has ended
Saving: TypeAlias = "concurrent.futures.Future[Any] | asyncio.Future[Any]"


def _loops_are_known() -> bool:
    """Whether a loop keeps the future of its last write, the checkpoint that it loaded, and what its tasks have written."""
    code: Any = getattr(getattr(PregelLoop, "_put_checkpoint", None), "__code__", None)
    written: tuple[str, ...] = getattr(code, "co_names", ())
    declared = set(vars(PregelLoop).get("__annotations__", ()))
    return "_put_checkpoint_fut" in written and declared >= {
        "checkpoint",
        "checkpoint_config",
        "checkpoint_id_saved",
        "checkpoint_pending_writes",
        "checkpointer",
        "channels",
        "config",
        "durability",
        "input",
    }


#: False where this LangGraph is built in another way than this module relies on
KNOWN = _loops_are_known()


@dataclass(frozen=True, slots=True)
class Loop:
    """One graph that runs: the step in which the task is, and what the saver holds of it."""

    own: Any

    @property
    def saver(self) -> BaseCheckpointSaver[Any] | None:
        return cast("BaseCheckpointSaver[Any] | None", self.own.checkpointer or None)

    @property
    def saving(self) -> Saving | None:
        """The write of the step's checkpoint; None where the checkpoint was loaded, or is saved at the end alone."""
        return cast("Saving | None", getattr(self.own, "_put_checkpoint_fut", None))

    @property
    def at_end_alone(self) -> bool:
        """Whether LangGraph saves the checkpoint when the run ends, and not before."""
        own = self.own
        return bool(own.durability == "exit" and own.checkpoint["id"] != own.checkpoint_id_saved)

    @property
    def config(self) -> RunnableConfig:
        """By which the saver finds the step's checkpoint and what its tasks have written."""
        return cast("RunnableConfig", self.own.checkpoint_config)

    @property
    def state(self) -> Iterable[object]:
        """What the channels held when the step began."""
        for channel in cast("Mapping[str, Any]", self.own.channels).values():
            if channel.is_available():
                yield channel.get()

    @property
    def written(self) -> Iterable[object]:
        """What tasks of the step have written that have ended."""
        return [value for _, _, value in cast("Sequence[Any]", self.own.checkpoint_pending_writes)]

    @property
    def input(self) -> object:
        """What the graph was called with."""
        return cast("object", self.own.input)


def loop_of(config: RunnableConfig) -> object:
    """What runs the steps of the graph in which the task is; None where that is not known."""
    call = configurable(config).get(_CALL)
    accept = (
        cast("partial[object]", call).keywords.get("schedule_task") if isinstance(call, partial) else None
    )
    return getattr(accept, "__self__", None)


def loops_around(config: RunnableConfig) -> list[Loop]:
    """The graphs around the task, its own first; empty outside a graph, and where they are not known."""
    found: list[Loop] = []
    inside: RunnableConfig | None = config if KNOWN else None
    while inside is not None:
        own = loop_of(inside)
        if not isinstance(own, PregelLoop) or any(own is loop.own for loop in found):
            break
        found.append(Loop(own))
        inside = own.config
    return found


def ended(saving: Saving) -> concurrent.futures.Future[None]:
    """A future of our own that ends when the write does, however that ends: who stops waiting for it cancels no write."""
    own: concurrent.futures.Future[None] = concurrent.futures.Future()

    def end(_: object) -> None:
        if own.set_running_or_notify_cancel():
            own.set_result(None)

    if isinstance(saving, asyncio.Future):
        saving.get_loop().call_soon_threadsafe(saving.add_done_callback, end)
    else:
        saving.add_done_callback(end)
    return own


def needs_this_thread(saving: Saving) -> bool:
    """Whether the write goes on only when the caller gives its thread back: a sync call on the thread of an event loop."""
    try:
        return isinstance(saving, asyncio.Future) and asyncio.get_running_loop() is saving.get_loop()
    except RuntimeError:
        return False
