"""Calls into which somebody wrote before they were looked at: the checkpoint tells whether that was a wrapper, or ran before the tools."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

from toolslot.hosting import Consult, Steps
from toolslot_langgraph._arguments import changed, settle
from toolslot_langgraph._compat import checkpointer_of, sent_state, thread_in_saver
from toolslot_langgraph._siblings import messages_in


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstLook:
    """A message whose calls are not what the model answered, and the checkpoint in which it is."""

    message: AIMessage
    messages_key: str
    saver: BaseCheckpointSaver[Any] | None
    checkpoint: RunnableConfig

    @classmethod
    def at(
        cls, messages: Sequence[Any], messages_key: str, config: RunnableConfig, info: Any
    ) -> FirstLook | None:
        """None where the calls of the last response were not changed, or were looked at before."""
        message = next((found for found in reversed(messages) if isinstance(found, AIMessage)), None)
        if message is None or not changed(message):
            return None
        namespace, checkpoint = (getattr(info, name, None) for name in ("checkpoint_ns", "checkpoint_id"))
        named = isinstance(namespace, str) and isinstance(checkpoint, str)
        where = {
            "thread_id": thread_in_saver(config),
            "checkpoint_ns": str(namespace).rpartition("|")[0],
            "checkpoint_id": checkpoint,
        }
        return cls(
            message=message,
            messages_key=messages_key,
            saver=checkpointer_of(config) if named else None,
            checkpoint={"configurable": where},
        )

    def reading(self, *, awaits: bool) -> Steps[None]:
        """Settle what the calls are. `awaits`: ask the saver by its async methods."""
        found: CheckpointTuple | None = None
        if self.saver is not None:
            ask = self.saver.aget_tuple if awaits else self.saver.get_tuple
            with suppress(NotImplementedError):
                found = yield Consult(partial(ask, self.checkpoint))
        saved: list[AIMessage] = []
        if found is not None and self.message.id is not None:
            values = found.checkpoint["channel_values"]
            messages = messages_in(sent_state(values) or values, self.messages_key)
            saved = [each for each in messages if isinstance(each, AIMessage) and each.id == self.message.id]
        serde = None if self.saver is None else self.saver.serde
        settle(self.message, saved[-1] if saved else None, serde)
