"""How a run begins, and how it begins again: who is asked what, with which memory and state."""

from __future__ import annotations

import logging
from typing import Any

from llama_index.core.agent.workflow.workflow_events import AgentWorkflowStartEvent
from llama_index.core.workflow import Context

from toolslot_llamaindex._blocks import archiving_once
from toolslot_llamaindex._given import copied
from toolslot_llamaindex._identity import Identity
from toolslot_llamaindex._memory import EMPTY, held_by, set_back
from toolslot_llamaindex._recording import apply, captured
from toolslot_llamaindex._records import RunRecord, question_of, restoring
from toolslot_llamaindex._shared import Durable
from toolslot_llamaindex._state import MEMORY
from toolslot_llamaindex._turns import Run

log = logging.getLogger("toolslot")


async def own_state(agent: Any, ctx: Context[Any]) -> None:
    """Begin with a copy of the initial state: older versions of the framework write into the one that the caller gave."""
    initial: object = getattr(agent, "initial_state", None)
    if initial and not await ctx.store.get("state", default=None):
        await ctx.store.set("state", copied(initial))


async def begin(agent: Any, ctx: Context[Any], ev: AgentWorkflowStartEvent, run: Run, known: Durable) -> None:
    """Record how the run begins, before the framework changes anything; or have memory and state as they were then.

    Raises:
        BatchMismatch: the run was begun with another input, or by another agent.
        ResultNotStorable: something in the memory or the state of that time cannot be made again.
    """
    memory = await memory_of(ctx) or ev.get(MEMORY, default=None)
    messages = ev.get("user_msg"), ev.get("chat_history", None)
    again = (
        run.payload is not None
    )  # the step is tried again in this process, and has changed the memory already
    began = await run.began() or run.payload
    if began is None:
        run.own_memory = memory is None
        record = RunRecord(
            agent=Identity.of(agent),
            question=question_of(run.values, *messages),
            memory=await _held(agent, memory, run),
            state=await captured(ctx, run.values),
        )
        await run.begin(record.encode(), now=memory is not None)
    else:
        record = RunRecord.decode(began)
        record.check(run.run_id, question_of(run.values, *messages))
        if record.agent is not None and known.refuses_others:
            record.agent.check(run.run_id, Identity.of(agent))
        held = EMPTY if again and run.own_memory else record.memory
        with restoring(run.run_id, "the memory at the beginning"):
            # Only where it differs: the memory may be as it was, whatever it holds.
            if memory is not None and held is not None and await held_by(memory, run.values) != held:
                await set_back(memory, held, run.values)
        with restoring(run.run_id, "the workflow's state at the beginning"):
            await apply(record.state, ctx, run.values)
    if memory is not None:
        view = archiving_once(memory, known.archiving())
        if view is not memory:
            await ctx.store.set(MEMORY, view)


async def _held(agent: Any, memory: Any, run: Run) -> bytes | None:
    try:
        return None if memory is None else await held_by(memory, run.values)
    except Exception as error:
        log.warning(
            "toolslot.memory_unread agent=%r: the messages in its memory could not be read (%s), so a resumed run takes the memory as it"
            " finds it.",
            type(agent).__name__,
            type(error).__name__,
        )
        return None


async def memory_of(ctx: Context[Any]) -> Any:
    """The agent's memory, if there is one yet."""
    return await ctx.store.get(MEMORY, default=None)
