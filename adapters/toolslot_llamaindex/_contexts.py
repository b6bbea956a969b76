"""The contexts in which calls are sent out and their results collected, and the results that no tool gave."""

from __future__ import annotations

from typing import Any, cast

from llama_index.core.agent.workflow.workflow_events import ToolCall, ToolCallResult
from llama_index.core.tools import ToolOutput
from llama_index.core.workflow import Context, Event
from typing_extensions import override

from toolslot import ToolslotError
from toolslot_llamaindex._codec import Answer
from toolslot_llamaindex._compat import mark
from toolslot_llamaindex._turns import Turn, kwargs_of, result_event

#: marks the result of a call that was not answered; it never reaches the model
_UNANSWERED = "__toolslot_unanswered__"


class MarkingContext(Context[Any]):
    """Marks the calls that the agent sends out with their places in the model's answer."""

    _sent: int

    def begin(self) -> MarkingContext:
        self._sent = 0
        return self

    @override
    def send_event(self, message: Event, step: str | None = None) -> None:
        if isinstance(message, ToolCall):
            mark(message, self._sent)
            self._sent += 1
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
        if not self._turn.collect(ev):
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


def told(ev: ToolCall, error: Exception) -> Answer:
    """The answer that tells the model of an error, as the agent does with every exception of a tool."""
    return Answer(
        output=ToolOutput(
            content=str(error),
            tool_name=ev.tool_name,
            raw_input=kwargs_of(ev),
            raw_output=str(error),
            is_error=True,
            exception=error,
        )
    )


def unanswered(ev: ToolCall, index: int) -> ToolCallResult:
    output = ToolOutput(tool_name=ev.tool_name, raw_input={_UNANSWERED: True}, raw_output=None, is_error=True)
    return result_event(ev, index, tool_output=output, return_direct=False)


def _is_unanswered(result: object) -> bool:
    output = cast("ToolOutput | None", getattr(result, "tool_output", None))
    return output is not None and _UNANSWERED in output.raw_input
