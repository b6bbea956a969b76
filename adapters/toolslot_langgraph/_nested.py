"""Agents inside calls: whether one goes on where it stood. Its checkpoints tell, for what code shows is no proof."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver

from toolslot import SlotRecord, SlotState
from toolslot.hosting import Consult, Steps
from toolslot_langgraph._compat import checkpointer_of, place_inside
from toolslot_langgraph._hints import may_go_on


@dataclass(frozen=True, kw_only=True, slots=True)
class Inside:
    """Where an agent that a call runs has its checkpoints, if it runs nested: in the same thread, with the same saver.

    One that was run with a saver or in a thread of its own has none there, nor has one under another checkpoint of the graph around.
    """

    saver: BaseCheckpointSaver[Any]
    config: RunnableConfig

    def ran(self, *, awaits: bool) -> Steps[bool]:
        """Whether it ran there, and so goes on from where it stood. `awaits`: ask the saver by its async methods."""
        ask = self.saver.aget_tuple if awaits else self.saver.get_tuple
        return (yield Consult(partial(ask, self.config))) is not None


def inside(
    tool: BaseTool | None, slot: SlotRecord, config: RunnableConfig, number: int, around: object
) -> Inside | None:
    """Where to look; None when nothing is in doubt, or the tool does not look as if all it did was to run agents.

    Args:
        tool: The call's tool, if it is known.
        slot: The call as it is recorded.
        config: The call's, or its task's.
        number: Which of the graphs that run inside the task is the first of the call's, from 0.
        around: What is put around the call.
    """
    escaped = slot.state is SlotState.FAILED and slot.escaped
    if not (escaped or slot.state in (SlotState.RUNNING, SlotState.UNKNOWN)):
        return None
    saver, place = checkpointer_of(config), place_inside(config, number)
    if tool is None or saver is None or place is None or not may_go_on(tool, around):
        return None
    return Inside(saver=saver, config=place)
