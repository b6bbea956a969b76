"""What is recorded of a run and of each of its turns, beside the slots: enough to go on without asking the model again; and what is said
where something of it cannot be made again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.llms import ChatMessage

from toolslot import BatchMismatch, Call, ResultNotStorable, UnreadablePayload
from toolslot.hosting import quoted
from toolslot_llamaindex._codec import bounded_json, plain_json
from toolslot_llamaindex._exact import NotRestorable
from toolslot_llamaindex._identity import Identity
from toolslot_llamaindex._packing import bytes_of, json_bytes, text_of
from toolslot_llamaindex._values import Kept, ValueCodec
from toolslot_llamaindex._writes import Write, pack_writes, unpack_writes

log = logging.getLogger("toolslot")

_FORMAT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """How a run began.

    `question` is a digest of what the agent was asked. `memory` holds what was in the memory before that, as `_memory` writes it, None
    when it could not be read; `state` the workflow's state. `agent` is None where it is not known.
    """

    agent: Identity | None
    question: str
    memory: bytes | None = None
    state: tuple[Write, ...] = ()

    def encode(self) -> bytes:
        return json_bytes(
            {
                "v": _FORMAT,
                "agent": None if self.agent is None else self.agent.packed(),
                "question": self.question,
                "memory": None if self.memory is None else text_of(self.memory),
                "state": pack_writes(self.state),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> RunRecord:
        """The record.

        Raises:
            UnreadablePayload: the bytes are damaged, or of another format.
        """
        stored = _read(data, "run")
        try:
            memory = stored["memory"]
            return cls(
                agent=None if stored["agent"] is None else Identity.unpacked(stored["agent"]),
                question=stored["question"],
                memory=None if memory is None else bytes_of(memory),
                state=unpack_writes(stored["state"]),
            )
        except Exception as error:
            raise _damaged("run", error) from error

    def check(self, run_id: str, question: str) -> None:
        """Raises `BatchMismatch` when the agent is asked something else now."""
        if question != self.question:
            raise BatchMismatch(
                f"run {quoted(run_id)} is recorded in the journal with another input (sha256:{self.question[:12]}) than it is given now"
                f" (sha256:{question[:12]}): user_msg or chat_history differ. What was recorded belongs to the other question, so nothing"
                " was replayed and nothing ran. Use a new run_id for a new question."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnRecord:
    """One answer of the model, and what the agent wrote into the state when it got it. `asked` is a digest of the model's input."""

    output: AgentOutput
    writes: tuple[Write, ...] = ()
    asked: str = ""

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls in the model's order; none when the model is asked to mend its answer."""
        if self.output.retry_messages:
            return ()
        return tuple(
            # Through JSON, so that arguments are the same before and after they were recorded.
            Call(
                tool=call.tool_name,
                args=cast("dict[str, object]", json.loads(json_bytes(plain_json(call.tool_kwargs)))),
                call_id=call.tool_id,
            )
            for call in self.output.tool_calls
        )

    def encode(self, values: ValueCodec) -> Kept:
        output = self.output
        # Whatever is in there: a live run never fails for what cannot be made again. Reading it may.
        said = values.keep(
            {
                "response": output.response,
                "tool_calls": output.tool_calls,
                "retry_messages": output.retry_messages,
                "structured_response": output.structured_response,
            }
        )
        payload = json_bytes(
            {
                "v": _FORMAT,
                "said": text_of(said.data),
                "agent": output.current_agent_name,
                "writes": pack_writes(self.writes),
                "asked": self.asked,
            }
        )
        return Kept(data=payload, problem=said.problem)

    @classmethod
    def decode(cls, data: bytes, values: ValueCodec) -> TurnRecord:
        """The record; of the model's own raw answer nothing is kept.

        Raises:
            NotRestorable: the model said something that cannot be made again here.
            UnreadablePayload: the bytes are damaged, or of another format.
        """
        stored = _read(data, "turn")
        try:
            writes = unpack_writes(stored["writes"])
            said = cast("dict[str, Any]", values.decode(bytes_of(stored["said"])))
            output = AgentOutput(current_agent_name=stored["agent"], **said)
            return cls(output=output, writes=writes, asked=stored["asked"])
        except UnreadablePayload:
            raise
        except Exception as error:
            raise _damaged("turn", error) from error


def question_of(values: ValueCodec, user_msg: object, chat_history: Sequence[ChatMessage] | None) -> str:
    """A digest of what an agent is asked; a text and a message with that text are the same."""
    message = ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg
    return values.digest([message, *(chat_history or ())])


def writes_of(payload: bytes) -> tuple[Write, ...]:
    """What a recorded turn wrote into the state; of all else nothing is made again."""
    stored = _read(payload, "turn")
    try:
        return unpack_writes(stored["writes"])
    except Exception as error:
        raise _damaged("turn", error) from error


# --- what the conversation depends on, made again ------------------------------------------------------------------------------


@contextmanager
def restoring(run_id: str, what: str) -> Generator[None]:
    """While something that the conversation depends on is made again; `ResultNotStorable` where that cannot be."""
    try:
        yield
    except NotRestorable as problem:
        raise ResultNotStorable(
            f"{what} of run {quoted(run_id)} cannot be replayed: {problem} The conversation would not be the same without it, so nothing"
            " was run. Then run again with the same run_id: what is recorded is still there."
        ) from None


def restored_turn(run_id: str, number: int, payload: bytes, values: ValueCodec) -> TurnRecord:
    """What was recorded of the turn, if all of it can be made again.

    Raises:
        ResultNotStorable: it cannot.
    """
    with restoring(run_id, f"turn {number}"):
        return TurnRecord.decode(payload, values)


def foretell(run_id: str, problem: NotRestorable) -> None:
    """Say of what could not be made again what to do about it, while that is easy."""
    log.warning(
        "toolslot.answer_not_restorable run=%s: the model's answer holds something of which a resume could not make the same again: %s This"
        " run goes on; a resume of it stops with ResultNotStorable until then.",
        quoted(run_id),
        problem,
    )


def _read(data: bytes, what: str) -> dict[str, Any]:
    try:
        stored = bounded_json(data)
    except UnreadablePayload:
        raise
    except (ValueError, RecursionError) as error:
        raise _damaged(what, error) from error
    if not isinstance(stored, dict) or cast("dict[str, Any]", stored).get("v") != _FORMAT:
        raise UnreadablePayload(
            f"the record of a {what} is of a format that is not known here; it may come from a newer toolslot, or from another framework."
        )
    return cast("dict[str, Any]", stored)


def _damaged(what: str, error: Exception) -> UnreadablePayload:
    return UnreadablePayload(f"the record of a {what} is damaged: {type(error).__name__}.")
