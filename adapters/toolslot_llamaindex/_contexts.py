"""The contexts in which calls are sent out and their results collected, and the results that no tool gave."""

from __future__ import annotations

from typing import Any, cast

from llama_index.core.agent.workflow.workflow_events import ToolCall, ToolCallResult
from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.workflow import Context, Event
from typing_extensions import override

from toolslot import ToolslotError
from toolslot.hosting import quoted
from toolslot_llamaindex._codec import Answer
from toolslot_llamaindex._compat import collected
from toolslot_llamaindex._edits import Edit
from toolslot_llamaindex._memory import MemoryChange
from toolslot_llamaindex._turn import Place, Turn, kwargs_of, put

#: marks the result of a call that was not answered; it never reaches the model
_UNANSWERED = "__toolslot_unanswered__"


class MarkingContext(Context[Any]):
    """Says of each call that the agent sends out which call of the model's answer it is."""

    _turn: Turn
    _sent: set[int]

    def begin(self, turn: Turn) -> MarkingContext:
        self._turn, self._sent = turn, set()
        return self

    @override
    def send_event(self, message: Event, step: str | None = None) -> None:
        if isinstance(message, ToolCall):
            index = self._turn.find(message, but=self._sent)
            # None: a call that the model did not ask for, by an agent of the user's own. It has no slot.
            if index is not None:
                self._sent.add(index)
                put(message, Place(turn=self._turn.number, index=index))
        super().send_event(message, step)


class OrderingContext(Context[Any]):
    """Hands the results out in the model's order, once all are there; raises then what stops the run."""

    _turn: Turn
    complete: bool

    def begin(self, turn: Turn) -> OrderingContext:
        self._turn, self.complete = turn, False
        return self

    @override
    def collect_events(
        self, ev: Event, expected: list[type[Event]], buffer_id: str | None = None
    ) -> list[Event] | None:
        if not self._turn.collect(ev, lambda: collected(ToolCallResult)):
            return None
        found = super().collect_events(ev, expected, buffer_id)
        if not found:
            return found
        self.complete = True
        for _, error in sorted(self._turn.failures.items()):
            raise error
        if any(_is_unanswered(result) for result in found):
            raise ToolslotError(
                "a call of this turn was not answered in an earlier process, and its error is not known here. Run the agent again with the"
                " same run_id."
            )
        return self._turn.ordered(found)


def answered(ev: ToolCall, result: object, edits: tuple[Edit, ...]) -> Answer:
    """What is recorded of what the agent's own step has returned."""
    if isinstance(result, ToolCallResult):
        return Answer(
            output=result.tool_output,
            return_direct=result.return_direct,
            edits=edits,
            asked=kwargs_of(ev),
        )
    if not isinstance(result, Event):
        raise ToolslotError(
            f"the agent's own step call_tool has returned a {type(result).__name__} for {quoted(ev.tool_name)}. What it sends elsewhere"
            " cannot be repeated when the run goes on, so that the call would never be answered then. Return the event."
        )
    output = ToolOutput(tool_name=ev.tool_name, raw_input={}, raw_output=None)
    return Answer(output=output, edits=edits, event=result)


def told(
    ev: ToolCall, error: Exception, edits: tuple[Edit, ...] = (), memory: tuple[MemoryChange, ...] = ()
) -> Answer:
    """The answer that tells the model of an error, as the agent does with every exception of a tool."""
    return Answer(
        output=ToolOutput(
            content=str(error),
            tool_name=ev.tool_name,
            raw_input=kwargs_of(ev),
            raw_output=str(error),
            is_error=True,
            exception=error,
        ),
        edits=edits,
        memory=memory,
        asked=kwargs_of(ev),
    )


async def returned(ev: ToolCall, value: object) -> ToolOutput:
    """The output of a tool that returns this value: the framework knows what the model sees of blocks, documents and all else."""

    async def tool() -> object:
        return value

    metadata = ToolMetadata(name=ev.tool_name, description="")
    output = await FunctionTool(async_fn=tool, metadata=metadata).acall()
    return output.model_copy(update={"raw_input": kwargs_of(ev)})


def result_event(ev: ToolCall, answer: Answer, place: Place | None = None) -> ToolCallResult:
    """The event that carries a call's result: with its place for the next step, without for everybody else."""
    event = ToolCallResult(
        tool_name=ev.tool_name,
        tool_kwargs=kwargs_of(ev),
        tool_id=ev.tool_id,
        tool_output=answer.output,
        return_direct=answer.return_direct,
    )
    if place is not None:
        put(event, place)
    return event


def show(ctx: Context[Any], turn: Turn, index: int, ev: ToolCall, answer: Answer) -> None:
    """Write to the stream what the agent writes of a call: its own events where it was made here, else events that look the same."""
    if index not in turn.ran:
        ctx.write_event_to_stream(
            ToolCall(tool_name=ev.tool_name, tool_kwargs=kwargs_of(ev), tool_id=ev.tool_id)
        )
    made = turn.own_events(index, answer)
    if answer.event is None:
        turn.shown[index] = made.result if made is not None else result_event(ev, answer)
    streamed = made.streamed if made is not None else ()
    if made is None and answer.event is None:
        streamed = (turn.shown[index],)
    for each in streamed:
        ctx.write_event_to_stream(each)


def unanswered(ev: ToolCall) -> Answer:
    return Answer(
        output=ToolOutput(
            tool_name=ev.tool_name, raw_input={_UNANSWERED: True}, raw_output=None, is_error=True
        )
    )


def _is_unanswered(result: object) -> bool:
    output = cast("ToolOutput | None", getattr(result, "tool_output", None))
    return output is not None and _UNANSWERED in output.raw_input
