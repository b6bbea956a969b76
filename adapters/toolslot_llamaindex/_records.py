"""What is recorded of a run and of each of its turns, beside the slots: enough to go on without asking the model again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import ToolSelection

from toolslot import BatchMismatch, Call, UnreadablePayload
from toolslot._text import quoted
from toolslot_llamaindex._codec import bounded_json, pack_writes, plain_json, unpack_writes
from toolslot_llamaindex._writes import Write

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """How a run began.

    `question` is a digest of what the agent was asked. `memory` holds the messages before that, None when they could not be read or
    stored; `state` the workflow's state.
    """

    agent: str
    question: str
    memory: tuple[ChatMessage, ...] | None = None
    state: tuple[Write, ...] = ()

    def encode(self) -> bytes:
        memory = None if self.memory is None else [plain_json(message) for message in self.memory]
        return _json(
            {
                "v": _FORMAT,
                "agent": self.agent,
                "question": self.question,
                "memory": memory,
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
                agent=stored["agent"],
                question=stored["question"],
                memory=None if memory is None else tuple(ChatMessage.model_validate(item) for item in memory),
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
                args=cast("dict[str, object]", json.loads(_json(plain_json(call.tool_kwargs)))),
                call_id=call.tool_id,
            )
            for call in self.output.tool_calls
        )

    def encode(self) -> bytes:
        output = self.output
        return _json(
            {
                "v": _FORMAT,
                "response": plain_json(output.response),
                "calls": [plain_json(call.model_dump()) for call in output.tool_calls],
                "retry": [plain_json(message) for message in output.retry_messages],
                "agent": output.current_agent_name,
                "structured": plain_json(output.structured_response),
                "writes": pack_writes(self.writes),
                "asked": self.asked,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> TurnRecord:
        """The record; of the model's own raw answer nothing is kept.

        Raises:
            UnreadablePayload: the bytes are damaged, or of another format.
        """
        stored = _read(data, "turn")
        try:
            output = AgentOutput(
                response=ChatMessage.model_validate(stored["response"]),
                tool_calls=[ToolSelection.model_validate(call) for call in stored["calls"]],
                retry_messages=[ChatMessage.model_validate(item) for item in stored["retry"]],
                current_agent_name=stored["agent"],
                structured_response=stored["structured"],
            )
            return cls(output=output, writes=unpack_writes(stored["writes"]), asked=stored["asked"])
        except Exception as error:
            raise _damaged("turn", error) from error


def question_of(user_msg: object, chat_history: Sequence[ChatMessage] | None) -> str:
    """A digest of what an agent is asked; a text and a message with that text are the same."""
    message = ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg
    return digest([message, *(chat_history or ())])


def digest(messages: Sequence[object]) -> str:
    """SHA-256 over messages, 64 hex digits."""
    text = json.dumps(plain_json(list(messages)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


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
