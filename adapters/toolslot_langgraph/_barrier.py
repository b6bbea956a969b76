"""No call begins before the model's answer that asked for it is safe in the saver.

Else a process may die after an effect and before the answer was saved: the model is asked again, and gives other calls, which nothing ties
to those that were made. LangGraph's default durability saves while the next step runs already.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.types import Send
from pydantic import BaseModel

from toolslot import DurableExecutor, ResponseNotSaved
from toolslot.hosting import Await, Consult, Notices, Pause, Steps, quoted
from toolslot_langgraph._compat import checkpointer_of, configurable, thread_in_saver
from toolslot_langgraph._identity import Place
from toolslot_langgraph._loops import Loop, ended, loops_around, needs_this_thread

#: seconds between two looks at a saver, at first and at most
_SOON, _LATER = 0.005, 0.25

#: how deep in a channel's value a response is looked for: a Send, its state, a list of messages
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class _Look:
    """Where to ask a saver for a checkpoint."""

    saver: BaseCheckpointSaver[Any]
    config: RunnableConfig


#: responses that were found in a saver, by the loop that runs their graph
_found: WeakKeyDictionary[object, set[tuple[object, ...]]] = WeakKeyDictionary()


class Barrier:
    """Stands before the batch of `place`, once for every entrance; `node` is the node's name, for messages.

    `timeout`: seconds to wait for the saver; None waits for ever.
    """

    def __init__(
        self,
        place: Place,
        config: RunnableConfig,
        executor: DurableExecutor,
        notices: Notices,
        *,
        timeout: float | None,
        node: str | None,
    ) -> None:
        self._place, self._config, self._executor, self._notices = place, config, executor, notices
        self._timeout, self._node = timeout, node
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def _left(self) -> float:
        return math.inf if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _asked(self, look: _Look, *, awaits: bool) -> Steps[CheckpointTuple | None]:
        ask = look.saver.aget_tuple if awaits else look.saver.get_tuple
        found: CheckpointTuple | None
        try:
            found = yield Consult(partial(ask, look.config))
        except Exception as error:
            raise self._refusal(
                f"the saver failed when it was asked for it ({type(error).__name__})"
            ) from error
        return found

    # --- what is to be saved, and who saves it --------------------------------------------------------------------------

    def passing(self, *, awaits: bool) -> Steps[None]:
        """Return when the response is known to be saved, or no saver will ever hold it and the policies of the tools allow that.

        `awaits`: ask the saver by its async methods.

        Raises:
            ResponseNotSaved: nothing has begun.
        """
        place = self._place
        if not place.durable or all(self._executor.policy(call["name"]).idempotent for call in self._calls()):
            return
        loops = loops_around(self._config)
        if not loops:
            # Outside a graph it is the caller who has the response.
            saver = checkpointer_of(self._config)
            if saver is not None:
                yield from self._looks(_Look(saver, self._latest()), self._in_checkpoint, awaits=awaits)
            return
        gap = _gap(loops)
        if gap is not None:
            if not self._holds([loops[-1].input]):
                self._unsaved(gap)
            return
        for loop in loops:
            yield from self._saved(loop, awaits=awaits)
        own = loops[0]
        if place.shared or self._holds(own.state):
            return
        if not self._holds(own.written):
            self._unsaved(_ONE_NODE)
            return
        seen = _found.setdefault(own.own, set())
        name = (place.message_id, *((call["id"], call["name"]) for call in place.calls))
        if name not in seen:
            yield from self._looks(_look_at(own), self._in_writes, awaits=awaits)
            seen.add(name)

    def _saved(self, loop: Loop, *, awaits: bool) -> Steps[None]:
        """Wait for LangGraph's write of the step's checkpoint, and so of all before it."""
        saving = loop.saving
        if saving is None:
            return
        if not saving.done():
            if not awaits and needs_this_thread(saving):
                # Only a saver that writes in threads of its own can get there now.
                yield from self._looks(_look_at(loop), lambda _: True, awaits=awaits)
                return
            written = ended(saving)
            try:
                yield written if self._deadline is None else Await(written, self._left())
            except TimeoutError:
                raise self._refusal(f"the saver did not write it within {self._timeout} s") from None
        error = None if saving.cancelled() else saving.exception()
        if saving.cancelled() or error is not None:
            raise self._refusal("the saver failed to write it") from error

    def _looks(self, look: _Look, held: Callable[[CheckpointTuple], bool], *, awaits: bool) -> Steps[None]:
        """Ask the saver until it has it. That it does not may mean that a replica is behind, so it only delays."""
        pause = _SOON
        while True:
            found = yield from self._asked(look, awaits=awaits)
            if found is not None and held(found):
                return
            left = self._left()
            if left <= 0:
                raise self._refusal(f"the saver did not have it within {self._timeout} s")
            yield Pause(min(pause, left))
            pause = min(2 * pause, _LATER)

    def _latest(self) -> RunnableConfig:
        """The last checkpoint of the node's graph."""
        namespace: object = configurable(self._config).get("checkpoint_ns")
        graph = str(namespace or "").rpartition("|")[0]
        where = {"thread_id": thread_in_saver(self._config), "checkpoint_ns": graph}
        return {"configurable": where}

    # --- finding the response -------------------------------------------------------------------------------------------

    def _in_checkpoint(self, found: CheckpointTuple) -> bool:
        return self._holds(found.checkpoint["channel_values"].values()) or self._in_writes(found)

    def _in_writes(self, found: CheckpointTuple) -> bool:
        return self._holds(value for _, _, value in found.pending_writes or ())

    def _holds(self, values: Iterable[object]) -> bool:
        return any(self._is_in(value, _DEEPEST) for value in values)

    def _is_in(self, value: object, levels: int) -> bool:
        if isinstance(value, AIMessage):
            return self._is(value)
        if levels == 0 or isinstance(value, (str, bytes)):
            return False
        if isinstance(value, Send):
            return self._is_in(value.arg, levels - 1)
        if isinstance(value, Mapping):
            given = cast("Mapping[str, object]", value)
            one = [(call["id"], call["name"]) for call in self._calls()]
            if "args" in given and (given.get("id"), given.get("name")) in one:
                return True
            return any(self._is_in(item, levels - 1) for item in given.values())
        if isinstance(value, (list, tuple)):
            return any(self._is_in(item, levels - 1) for item in reversed(cast("list[object]", value)))
        if isinstance(value, BaseModel):
            return any(self._is_in(item, levels - 1) for item in vars(value).values())
        names = [each.name for each in fields(value)] if is_dataclass(value) else ()
        return any(self._is_in(getattr(value, name, None), levels - 1) for name in names)

    def _is(self, message: AIMessage) -> bool:
        if message.id and self._place.message_id:
            return message.id == self._place.message_id
        theirs = [(call["id"], call["name"]) for call in message.tool_calls]
        return all((call["id"], call["name"]) in theirs for call in self._calls())

    def _calls(self) -> list[Any]:
        """Those that are entered here."""
        return [self._place.calls[index] for index in self._place.indices]

    # --- what is said ---------------------------------------------------------------------------------------------------

    def _unsaved(self, why: str) -> None:
        """No saver will hold the response: warn, or refuse calls that their policies do not let run twice."""
        # Effects with a key are recognised however often the model is asked.
        policies = {call["name"]: self._executor.policy(call["name"]) for call in self._calls()}
        names = sorted(name for name, policy in policies.items() if policy.effect_key is None)
        once = [name for name in names if policies[name].unknown_rule != "rerun"]
        if once:
            raise ResponseNotSaved(
                f"{why}: after a crash the model is asked again, its new calls are not recognised, and the policy of"
                f" {', '.join(map(quoted, once))} (on_unknown='ask' or 'fail', or a reconciler) cannot be kept. No call of node"
                f" {quoted(self._node or '')} began. {_REMEDIES[why]}"
            )
        if names and why != _EXIT:  # of which the node has told already
            self._notices.once(
                "toolslot.response_not_saved node=%r: %s, so after a crash the model is asked again and no call is recognised. %s",
                self._node,
                why,
                _REMEDIES[why],
            )

    def _refusal(self, why: str) -> ResponseNotSaved:
        names = ", ".join(sorted({quoted(call["name"]) for call in self._calls()}))
        return ResponseNotSaved(
            f"The model's answer that asked for {names} in node {quoted(self._node or '')} is not known to be saved: {why}. After a crash"
            " the model would be asked again, so no call began. Mend the saver and resume the thread; answer_timeout= says how long to"
            " wait."
        )


_EXIT = "with durability='exit' LangGraph saves nothing before the end of the run"
_NO_SAVER = "a graph around the calls has no checkpointer, so no saver holds the model's answer"
_ONE_NODE = (
    "the model is asked in the node that runs its calls, so no saver holds its answer before they have run"
)

_REMEDIES = {
    _EXIT: "Use durability='async' or 'sync'.",
    _NO_SAVER: "Compile the outermost graph with a checkpointer.",
    _ONE_NODE: "Ask the model in a node of its own, or in a @task.",
}


def _gap(loops: list[Loop]) -> str | None:
    """Why a resume would not come back to this step; None where it does."""
    if any(loop.saver is None for loop in loops):
        return _NO_SAVER
    return _EXIT if any(loop.at_end_alone for loop in loops) else None


def _look_at(loop: Loop) -> _Look:
    assert loop.saver is not None
    return _Look(loop.saver, loop.config)
