"""The steps that a durable agent takes differently. One mixin serves single agents and workflows of agents: they have the same steps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast
from uuid import uuid4

from llama_index.core.agent.workflow.workflow_events import (
    AgentOutput,
    AgentSetup,
    AgentWorkflowStartEvent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.tools import ToolOutput
from llama_index.core.workflow import Context, Event

from toolslot import (
    CallTimedOut,
    DecisionRefused,
    DurableExecutor,
    EffectRefused,
    InvalidArguments,
    ToolFailed,
    ToolslotError,
    UnknownOutcome,
)
from toolslot.hosting import CallTask, in_thread, quoted, read_answer
from toolslot_llamaindex._beginning import begin, memory_of, own_state
from toolslot_llamaindex._call_store import CallStore
from toolslot_llamaindex._codec import Answer
from toolslot_llamaindex._compat import (
    PAUSES,
    always_written,
    another_view,
    restarts_with_the_same_id,
    run_id_of,
    when_done,
    with_async_code,
    workflow_run_id,
)
from toolslot_llamaindex._contexts import (
    MarkingContext,
    OrderingContext,
    answered,
    result_event,
    returned,
    show,
    told,
    unanswered,
)
from toolslot_llamaindex._given import own_arguments
from toolslot_llamaindex._questions import ToolOutcomeAnswer, question
from toolslot_llamaindex._recording import (
    RecordingContext,
    StepStore,
    apply,
    own_output,
    own_result,
)
from toolslot_llamaindex._records import TurnRecord, restoring
from toolslot_llamaindex._shared import Durable
from toolslot_llamaindex._sharing import certainly_not_entered
from toolslot_llamaindex._steps import OwnStep
from toolslot_llamaindex._turn import Made, Place, Turn, kwargs_of, place_of
from toolslot_llamaindex._turns import Run

log = logging.getLogger("toolslot")

#: where the workflow's state says which run it belongs to, for contexts that are stored and taken up again
NOTE = "__toolslot_run__"


class DurableSteps:
    """Stands before the agent's class; `super()` is the agent's own step."""

    _toolslot: Durable

    @property
    def toolslot_executor(self) -> DurableExecutor:
        """What runs the calls: its `journal`, and `drain()` for an orderly shutdown."""
        return self._toolslot.executor

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """As the agent's own `run`. With `run_id=` the run is durable: run again with the same id and input, it goes on where it was.

        Raises:
            BatchMismatch: (when awaited) the id is known with another input, or of another agent.
            ResultNotStorable: (when awaited) what the model answered cannot be told it again as it was.
        """
        args, kwargs = own_arguments(args, kwargs)
        run_id: str | None = kwargs.pop("run_id", None)
        known = self._toolslot
        known.models.add(self)  # it may be a copy
        if run_id is None:
            workflow_run = uuid4().hex
        elif restarts_with_the_same_id(self):
            workflow_run = run_id
        else:
            # A failed run may still hold its id, and an id is for all attempts.
            workflow_run = f"{run_id}~{uuid4().hex[:12]}"
        if run_id is not None or not _goes_on(args, kwargs):
            known.runs.begin(workflow_run, run_id)
            if run_id is None:
                known.notices.once(
                    "toolslot.not_durable agent=%r: run() without run_id=, so nothing says which run its calls belong to: nothing is"
                    " recorded and nothing can be recovered. Give an id of your own: agent.run(..., run_id='order-17').",
                    getattr(self, "name", type(self).__name__),
                )
        base: Any = super()
        try:
            handler = base.run(*args, run_id=workflow_run, **kwargs)
        except BaseException:
            known.runs.end(workflow_run)
            raise
        # Older versions of the agents have ids of their own; no step has begun yet.
        actual = run_id_of(handler, workflow_run)
        known.runs.rename(workflow_run, actual)
        when_done(handler, lambda: known.runs.end(actual))
        return handler

    def _get_steps(self) -> dict[str, Any]:
        """As the workflow's own, which looks at every attribute of the agent, more than once for each step that it runs."""
        base: Any = super()
        return self._toolslot.steps(self, base._get_steps)

    # --- the steps ------------------------------------------------------------------------------------------------------

    async def _toolslot_init_run(self, ctx: Context[Any], ev: AgentWorkflowStartEvent, own: OwnStep) -> Any:
        run = await self._toolslot_run(ctx)
        await own_state(self, ctx)
        if run.durable:
            await run.prepare()
            await begin(self, ctx, ev, run, self._toolslot)
            await ctx.store.set(NOTE, run.run_id)
        elif await ctx.store.get(NOTE, default=None) is not None:
            # An earlier run in this context had an id; its answers are not this one's.
            await ctx.store.set(NOTE, None)
        return await own(ctx, ev)

    async def _toolslot_run_agent_step(self, ctx: Context[Any], ev: AgentSetup, own: OwnStep) -> AgentOutput:
        run = await self._toolslot_run(ctx)
        # What the conversation depends on is kept as far as it goes, never left out.
        values = run.values.lenient
        number: int = await ctx.store.get("num_iterations", default=0)
        asked = run.values.digest(ev.input)
        record = await run.recorded(number)
        lists = await run.lists(number)
        if record is None:
            store = StepStore(ctx.store, values, lists, always_written(self))
            recording = RecordingContext.over(ctx, store, own=own_output(ev))
            output: object = await own(recording, ev)
            if not isinstance(output, AgentOutput):
                return cast("AgentOutput", output)  # an event of the user's own: no answer, and no turn
            writes = await store.ended()
            # Dies here: the model answered and that is not recorded. It is asked again; none of its calls has begun.
            mine = TurnRecord(output=output, writes=writes, asked=asked)
            record = await run.reserve(number, mine)
            # What counts is what was recorded: a task that the step has left behind may still be writing.
            lists = await run.lists(number)
            if record is None:
                lists.whole(mine.writes)
                run.keep(lists)
                for each in recording.held:
                    ctx.write_event_to_stream(each)
                return output
        if record.asked and record.asked != asked:
            self._toolslot.notices.once(
                "toolslot.input_differs run=%s turn=%d: the model's recorded answer is replayed, although it would be asked something else"
                " now. Prompts, tools or the state may have changed since.",
                quoted(run.run_id),
                number,
            )
        writes = lists.whole(record.writes)
        run.keep(lists)
        with restoring(run.run_id, f"turn {number}"):
            await apply(writes, ctx, values)
        ctx.write_event_to_stream(record.output)
        return record.output

    async def _toolslot_parse_agent_output(self, ctx: Context[Any], ev: AgentOutput, own: OwnStep) -> Any:
        run = await self._toolslot_run(ctx)
        turn = await run.at(await ctx.store.get("num_iterations", default=0))
        view = ctx if turn is None else another_view(MarkingContext, ctx).begin(turn)
        return await own(view, ev)

    async def _toolslot_call_tool(self, ctx: Context[Any], ev: ToolCall, own: OwnStep) -> Any:
        run, place = await self._toolslot_run(ctx), place_of(ev)
        if place is not None and place.turn <= run.handed:
            return None  # an answer that was sent twice: the call has its result, and the model has it
        turn = await self._toolslot_turn(ctx, run, place) if place is not None else None
        if turn is None or place is None:
            return await own(ctx, ev)
        if place.turn != turn.number:
            return None
        turn.check(ev, place.index)
        with run.calling():
            try:
                with restoring(run.run_id, f"turn {turn.number}"):
                    await turn.make_again(ctx, memory_of, taken_up=run.taken_up)
                answer = await self._toolslot_answer(ctx, ev, own, run, turn, place.index)
                with restoring(run.run_id, f"turn {turn.number}"):
                    await turn.make_again_too(place.index, answer, ctx, memory_of)
            except PAUSES:
                raise
            except Exception as error:
                if not isinstance(error, ToolslotError) and own.is_tried_again(ctx, error):
                    raise  # the framework enters this call again
                # Kept until all have settled: a failing step would have the framework cancel its siblings.
                turn.failures[place.index] = error
                answer = unanswered(ev)
        if not turn.answer(place.index):
            return None
        if place.index not in turn.failures:
            show(ctx, turn, place.index, ev, answer)
            if answer.event is not None:
                return answer.event
        return result_event(ev, answer, place)

    async def _toolslot_aggregate_tool_results(
        self, ctx: Context[Any], ev: ToolCallResult, own: OwnStep
    ) -> Any:
        run, place = await self._toolslot_run(ctx), place_of(ev)
        if place is not None and place.turn <= run.handed:
            return None
        turn = await self._toolslot_turn(ctx, run, place)
        if turn is None:
            return await own(ctx, ev)
        view, goes_on = another_view(OrderingContext, ctx).begin(turn), False
        try:
            return await own(view, ev)
        except Exception as error:
            goes_on = own.is_tried_again(ctx, error)
            raise
        finally:
            if view.complete and not goes_on:
                run.handed = turn.number
                run.release()

    async def _toolslot_turn(self, ctx: Context[Any], run: Run, place: Place | None) -> Turn | None:
        """The turn whose calls are being made, for an event with this place."""
        turn = run.turn
        if turn is not None and place is not None and turn.number == place.turn:
            return turn
        following: int = await ctx.store.get("num_iterations", default=0)
        return await run.at(following - 1)

    # --- one call -------------------------------------------------------------------------------------------------------

    async def _toolslot_answer(
        self, ctx: Context[Any], ev: ToolCall, own: OwnStep, run: Run, turn: Turn, index: int
    ) -> Answer:
        tries, began = 0, time.monotonic()

        async def code() -> Answer:
            nonlocal tries
            tries += 1
            turn.ran.add(index)
            memory = await memory_of(ctx) if run.durable else None
            await turn.memory.watch(memory)
            result, streamed = await self._toolslot_made(ctx, ev, own, run, turn, index)
            error = result.tool_output.exception if isinstance(result, ToolCallResult) else None
            if error is not None and self._toolslot.executor.tries_again(
                ev.tool_name, error, tries=tries, began=began
            ):
                raise error  # the last failure is an answer, those before are not
            answer = answered(ev, result, turn.ledger.edits(index))
            answer = replace(answer, memory=await turn.memory.ended(index, memory))
            turn.made[index] = Made(answer=answer, result=result, streamed=streamed)
            return answer

        while True:
            task = CallTask()
            try:
                # What is recorded may be something else than the code returns: somebody may have decided it.
                value = cast(
                    "object",
                    await turn.run.acall(index, code, is_error=partial(_failure, turn, index), offload=task),
                )
            except UnknownOutcome as unknown:
                if unknown.ask:
                    await self._toolslot_ask(ctx, turn, index, unknown)
                    continue
                value = told(ev, unknown)
                await turn.run.adeliver(index, value)
            except (CallTimedOut, EffectRefused, ToolFailed) as error:
                value = told(ev, error, turn.ledger.edits(index), turn.memory.changes(index))
                await turn.run.adeliver(index, value)
            except asyncio.CancelledError:
                if not task.gave_up:
                    run.stop()
                raise
            finally:
                task.cancel()
            return value if isinstance(value, Answer) else await self._toolslot_decided(ctx, ev, value)

    async def _toolslot_made(
        self, ctx: Context[Any], ev: ToolCall, own: OwnStep, run: Run, turn: Turn, index: int
    ) -> tuple[object, tuple[Event, ...]]:
        """What the agent's own step comes to, and what it writes to the stream. What it changes in the state is in the turn's ledger."""
        store = CallStore(ctx.store, turn.ledger, turn.memory, index) if run.durable else ctx.store
        recording = RecordingContext.over(ctx, store, own=own_result(ev))
        try:
            result: object = await own(recording, ev) or recording.sent
        finally:
            if isinstance(store, CallStore):
                await store.ended()
        turn.not_entered = (turn.not_entered - {index}) | ({index} if recording.not_entered else set())
        return result, recording.held

    async def _call_tool(self, ctx: Context[Any], tool: Any, tool_input: dict[str, Any]) -> ToolOutput:
        base: Any = super()
        view = ctx.for_tool() if isinstance(ctx, RecordingContext) else ctx
        # A thread runs on after the wait for it is over, and the call's task with it, so that its result comes back.
        output: ToolOutput = await base._call_tool(view, with_async_code(tool, in_thread), tool_input)
        if isinstance(ctx, RecordingContext) and output.is_error:
            ctx.not_entered = certainly_not_entered(tool, tool_input, output.exception)
        return output

    async def _toolslot_ask(self, ctx: Context[Any], turn: Turn, index: int, unknown: UnknownOutcome) -> None:
        """Ask a person and journal the answer. The step stops here, by an exception, and begins again when the answer comes."""
        slot, problem = turn.run.asked_about(index), ""
        for tries in range(_MAX_ANSWERS):
            asked = question(unknown, slot, tries=tries, error=problem)
            # Calls that wait for the same one, which holds the effect that they name, wait for the same answer; one of them asks.
            first = turn.asked_by.setdefault(asked.id, index)
            answered = await ctx.wait_for_event(
                ToolOutcomeAnswer,
                waiter_event=asked if first == index else None,
                waiter_id=f"toolslot {asked.id}" if first == index else f"toolslot {asked.id} {index}",
                requirements={"id": asked.id},
                timeout=None,
            )
            decision = read_answer(answered.answer)
            if isinstance(decision, str):
                problem = decision
                log.warning("toolslot.answer_refused run=%s: %s", quoted(unknown.run_id), problem)
                continue
            try:
                await turn.run.adecide(
                    index, decision, by="person", why="answered in the workflow", version=unknown.version
                )
            except DecisionRefused as refused:
                # Somebody else was quicker. Whatever it is now, the next round looks at it.
                log.warning("toolslot.answer_refused run=%s: %s", quoted(unknown.run_id), refused)
            return
        raise unknown

    async def _toolslot_decided(self, ctx: Context[Any], ev: ToolCall, value: object) -> Answer:
        """The answer to a call whose result somebody decided, or of which only a text is left."""
        if isinstance(value, ToolOutput):
            output = value.model_copy(update={"tool_name": ev.tool_name, "raw_input": kwargs_of(ev)})
        else:
            output = await returned(ev, value)
        return Answer(output=output, return_direct=await self._toolslot_returns_directly(ctx, ev.tool_name))

    async def _toolslot_returns_directly(self, ctx: Context[Any], tool_name: str) -> bool:
        host: Any = self
        if hasattr(host, "agents"):
            tools = await host.get_tools(await ctx.store.get("current_agent_name"), tool_name)
        else:
            tools = await host.get_tools(tool_name)
        return any(tool.metadata.return_direct for tool in tools if tool.metadata.name == tool_name)

    # --- the run --------------------------------------------------------------------------------------------------------

    async def _toolslot_run(self, ctx: Context[Any]) -> Run:
        """The run of the current step. One that was taken up from a stored context says in its state which it is."""
        runs, workflow_run = self._toolslot.runs, workflow_run_id()
        run = runs.find(workflow_run)
        if run is None:
            note: object = await ctx.store.get(NOTE, default=None)
            runs.begin(workflow_run, note if isinstance(note, str) else None)
            run = runs.find(workflow_run)
            assert run is not None
            run.taken_up = True
        return run


_MAX_ANSWERS = 100


def _goes_on(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a run is taken up from a stored context, whose state says which it is."""
    given: Any = kwargs.get("ctx") or next(
        (arg for arg in args if isinstance(arg, cast("type[Any]", Context))), None
    )
    return given is not None and bool(given.is_running)


def _failure(turn: Turn, index: int, value: object) -> bool | Exception:
    """Whether an answer tells of a failure, and of which one."""
    if not (isinstance(value, Answer) and value.output.is_error):
        return False
    unfit = InvalidArguments(f"the arguments do not fit the function of {quoted(value.output.tool_name)}")
    return unfit if index in turn.not_entered else value.output.exception or True
