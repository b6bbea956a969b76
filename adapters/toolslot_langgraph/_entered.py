"""One call that its own task enters, as one of a batch whose other calls other tasks enter."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.errors import GraphInterrupt, ParentCommand
from langgraph.prebuilt.tool_node import ToolCallRequest

from toolslot import Draining, DurableExecutor, EffectRefused, ToolFailed, UnknownOutcome
from toolslot.hosting import Question
from toolslot_langgraph._answers import Answers, begun_at, read_by_others, tools_only
from toolslot_langgraph._asking import Asking
from toolslot_langgraph._callbacks import Replay, facts_of
from toolslot_langgraph._code import Code
from toolslot_langgraph._codec import ToParent
from toolslot_langgraph._compat import config_entered, outliving, ran_no_graph
from toolslot_langgraph._contents import watched
from toolslot_langgraph._execution import drained
from toolslot_langgraph._identity import Place
from toolslot_langgraph._joining import opened
from toolslot_langgraph._nested import Inside, inside
from toolslot_langgraph._outputs import Reopened, replayed
from toolslot_langgraph._settings import Settings

#: the call among those that share its task: it is alone there
_ALONE = 0


class Entered:
    """Made for one entrance. `handler` runs the call, `run` is its batch, not entered yet, and `index` the call's place in it."""

    def __init__(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Any],
        config: RunnableConfig,
        place: Place,
        executor: DurableExecutor,
        *,
        settings: Settings,
        awaits: bool,
        messages_key: str,
    ) -> None:
        self._request = request
        self._config = config
        self._messages_key = messages_key
        self._executor = executor
        # Where LangGraph's book-keeping is not known, an answer could reach another question: then the failure is shown instead.
        self._askable = place.askable and Answers(config, 1).usable
        keyed = executor.policy(request.tool_call["name"]).effect_key is not None

        def run() -> Any:
            return handler(watched(outliving(request) if awaits else request))

        self.code = Code(run, awaits=awaits, keyed=keyed, around=self._own_answers)
        self._around = handler
        # As long as no question is asked about the call itself, LangGraph's own book-keeping is all it takes.
        begun = begun_at(config) if place.askable else None
        self._answers = Answers(config, 1, skip=begun) if begun is not None else None
        self._asking: Asking | None = None
        self.index = place.indices[0]
        self.run = opened(executor, place, self._config, settings, awaits=awaits)

    # --- the call's code ------------------------------------------------------------------------------------------------

    def agent(self) -> Inside | None:
        """Where an agent that the call may have run has its checkpoints; None where its policy decides alone."""
        request = self._request
        if self._executor.declares(request.tool_call["name"]) or not ran_no_graph(self._config):
            return None
        return inside(request.tool, self.run.slot(self.index), self._config, 0, self._around)

    @contextmanager
    def _own_answers(self) -> Generator[None]:
        """While the call's code runs, it sees the human answers that are its own and not those to questions about it."""
        if not self._askable:
            yield
            return
        config = self._config
        before = config.get("configurable")
        if self._answers is None:
            tools_only(config)
        else:
            self._answers.adopt(_ALONE, config)
        try:
            with config_entered(config):
                yield
        finally:
            if before is not None:
                config["configurable"] = before

    @property
    def name(self) -> str:
        return self._request.tool_call["name"]

    @property
    def tool(self) -> BaseTool | None:
        """The node's tool; None where it has none, so that only a middleware may serve it."""
        return self._request.tool

    @property
    def ran(self) -> bool:
        """Whether the call's code was run here."""
        return self.code.ran

    # --- what came of it ------------------------------------------------------------------------------------------------

    def answered(self, value: object) -> Any:
        """The call's output from its answer; or the exception that stands for it, when it hands over to the parent graph."""
        if isinstance(value, ToParent):
            return ParentCommand(value.command)
        if self.code.made(value):
            return value
        # Recorded earlier, or by an attempt that came to nothing here.
        return replayed(value, self.run.slot(self.index), self._request.tool_call, self._messages_key)

    @property
    def replay(self) -> Replay | None:
        """What the callbacks are to hear of the call; None when its code ran here, for then they have heard of it."""
        if self.ran:
            return None
        request = self._request
        return Replay(
            tool=request.tool,
            call=request.tool_call,
            config=self._config,
            facts=facts_of(self.run, self.index),
        )

    def told(self, error: Exception) -> ToolMessage | None:
        """The answer that tells the model of a failure which somebody has decided, or that the call was not run for its effect key, so that
        the agent goes on; else None.
        """
        decided = isinstance(error, ToolFailed) and self.run.slot(self.index).decision is not None
        if not (decided or isinstance(error, EffectRefused)):
            return None
        call = self._request.tool_call
        return ToolMessage(str(error), name=call["name"], tool_call_id=call["id"] or "", status="error")

    def questions(self, error: Exception) -> Sequence[Question]:
        """What a person must decide before the call has an answer; empty when the error is no question."""
        if not (self._askable and isinstance(error, UnknownOutcome) and error.ask):
            return ()
        return [Question.about(error, self.run.asked_about(self.index), index=self.index)]

    def ask(self, value: object) -> object:
        """The answer of a person; raises `GraphInterrupt` when there is none yet."""
        if self._asking is None:
            if self._answers is None:
                others = read_by_others(self._config)
                self._answers = Answers(self._config, 1, skip=others, first=_ALONE)
            self._asking = Asking(self._answers, self._config)
        return self._asking(value)

    def shown(self, error: Exception) -> Exception:
        """The error as LangGraph is to see it."""
        if isinstance(error, Reopened) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        if isinstance(error, Draining) and (outer := drained.get()) is not None:
            outer.append(error)
        if isinstance(error, GraphInterrupt) and self._answers is not None and self._answers.usable:
            self._answers.surface(_ALONE)
        return error
