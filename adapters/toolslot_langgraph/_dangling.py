"""Answers for the calls of a broken conversation: those that a model asked for, and which will not run any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command
from typing_extensions import Unpack

from toolslot import BatchRecord, DurableExecutor, InvalidSetting, OwnerState, SlotRecord, SlotState
from toolslot.hosting import args_digest
from toolslot_langgraph._arguments import normal
from toolslot_langgraph._codec import ToParent
from toolslot_langgraph._compat import as_name, configurable
from toolslot_langgraph._identity import root_lineage
from toolslot_langgraph._outputs import replayed
from toolslot_langgraph._settings import DurableOptions, Settings

_MESSAGES = "messages"

NOT_MADE = "This call was not made."
UNKNOWN = "It is not known whether this call was made: it may have had its effect."
DONE = "This call was made. Its result cannot be shown as a message."


def answer_dangling_calls(
    messages: Sequence[AnyMessage], config: RunnableConfig, **options: Unpack[DurableOptions]
) -> list[AnyMessage]:
    """The conversation, with a tool message behind every answer of the model for each of its calls that has none: its result where the
    journal has it; that it was not made, or failed; or that this is not known.

    For a thread to which somebody spoke while calls were open, so that providers refuse it. Calls that wait for a person are left as they
    are, and so are those of a batch that a living process works on. The batches stay as they are in the journal.

    Args:
        messages: The conversation of the outermost graph.
        config: That of its runs: `thread_id`, or `durable_run_key`, names the run.
        **options: See `DurableOptions`; `journal`, `codec` and `allowed_types` as the agent has them.

    Raises:
        InvalidSetting: the config names no run.
        JournalError: the journal cannot be read.
    """
    given = configurable(config)
    run_id = as_name(given.get("durable_run_key")) or as_name(given.get("thread_id"))
    if run_id is None:
        raise InvalidSetting("The config names no run: it needs configurable thread_id or durable_run_key.")
    reading = _Reading(Settings(**options).executor(()), run_id)
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    repaired: list[AnyMessage] = []
    # Backwards: of equal responses the later one has the later batch.
    for message in reversed(messages):
        if isinstance(message, AIMessage) and message.tool_calls:
            record = reading.batch_of(message)
            missing = [
                found
                for index, call in enumerate(message.tool_calls)
                if call["id"] not in answered and (found := reading.answer(record, index, call)) is not None
            ]
            repaired += reversed(missing)
        repaired.append(message)
    return repaired[::-1]


class _Reading:
    """The batches of one run."""

    def __init__(self, executor: DurableExecutor, run_id: str) -> None:
        self._executor = executor
        journal = executor.journal
        found = [journal.load(key).result() for key in journal.keys(run_id).result()]
        self._left = sorted(
            (each for each in found if each is not None), key=lambda each: each.manifest.created, reverse=True
        )

    def batch_of(self, message: AIMessage) -> BatchRecord | None:
        """The newest batch of these calls; the response's own where it has a name."""
        fits = [record for record in self._left if self._fits(record, message.tool_calls)]
        named = root_lineage(message.id) if message.id else None
        own = [record for record in fits if named is not None and record.manifest.lineage == named]
        record = next(iter(own or fits), None)
        self._left = [each for each in self._left if each is not record]
        return record

    def _fits(self, record: BatchRecord, calls: Sequence[ToolCall]) -> bool:
        specs = record.manifest.specs
        return [(each.tool, each.call_id) for each in specs] == [
            (call["name"], call["id"] or "") for call in calls
        ] and all(
            not spec.recorded or spec.digest in self._digests(call)
            for spec, call in zip(specs, calls, strict=True)
        )

    def _digests(self, call: ToolCall) -> tuple[str | None, ...]:
        args, key = normal(call["args"]), self._executor.journal.digest_key
        plain = args_digest(call["name"], args)
        return (plain,) if key is None else (args_digest(call["name"], args, key=key), plain)

    def answer(self, record: BatchRecord | None, index: int, call: ToolCall) -> ToolMessage | None:
        """None where the call still may be answered by itself."""
        if record is None:
            return _told(call, UNKNOWN)
        slot = record.slots[index]
        known = self._executor.answer_of(slot)
        if known is not None:
            return _message(known, slot, call)
        if slot.state is SlotState.FAILED:
            error = "" if slot.error is None else f": {slot.error.message} [{slot.error.type_name}]"
            return _told(call, f"This call failed{error}")
        at_work = record.fence.held and record.owner_state is OwnerState.ALIVE
        if slot.state is SlotState.WAITING or at_work:
            return None
        never = slot.state is SlotState.RESERVED and slot.spec.recorded and not slot.spec.idempotent
        return _told(call, NOT_MADE if never else UNKNOWN)


def _message(value: object, slot: SlotRecord, call: ToolCall) -> ToolMessage:
    """The message for this call in a recorded output. Of a command it may be in the update."""
    if isinstance(value, ToParent):
        value = value.command
    found = next(
        filter(None, map(_said, cast("list[object]", value) if isinstance(value, list) else [value])), None
    )
    if found is None and isinstance(value, (Command, list)):
        return _told(call, DONE, status="success")
    return cast("ToolMessage", replayed(value if found is None else found, slot, call, _MESSAGES))


def _said(item: object) -> ToolMessage | None:
    """The tool message that an item of an output is, or has in its update."""
    if not isinstance(item, Command):
        return item if isinstance(item, ToolMessage) else None
    update: Any = cast("Command[Any]", item).update
    inside: object = (
        cast("Mapping[str, object]", update).get(_MESSAGES) if isinstance(update, Mapping) else update
    )
    messages = cast("list[object]", inside) if isinstance(inside, list) else ()
    return next((each for each in messages if isinstance(each, ToolMessage)), None)


def _told(call: ToolCall, text: str, status: Any = "error") -> ToolMessage:
    return ToolMessage(text, name=call["name"], tool_call_id=call["id"] or "", status=status)
