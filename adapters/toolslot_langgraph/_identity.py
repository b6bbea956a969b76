"""Which batch a node execution belongs to: found again after a crash, a retry or an interrupt, and by nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.runnables import RunnableConfig

from toolslot import current_call
from toolslot_langgraph._compat import configurable, has_checkpointer, read_channel


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a batch is kept. `durable` is False when nothing says which run this is: then nothing can be replayed.

    `askable`: a question to a human can be raised here and answered later.
    """

    run_id: str
    batch_id: str
    lineage: str | None
    durable: bool
    askable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """The model response whose calls are run. `position`, in the conversation, is None when its message was not found.

    `sent`: these are calls sent one by one, so there may be more of the response than these.
    """

    calls: Sequence[ToolCall]
    message_id: str | None = None
    position: int | None = None
    sent: bool = False


#: the task attempt that runs in this context, and how often it has run each batch: a node's own code may run the same calls twice
_seen: ContextVar[tuple[object, dict[str, int]] | None] = ContextVar("toolslot_langgraph_seen", default=None)


def read_response(
    input: Any, messages_key: str, calls: Sequence[ToolCall], config: RunnableConfig
) -> Response:
    """The response behind a node's input; `calls` are those that ToolNode found in it."""
    sent, state = False, input
    if isinstance(input, dict) and "__type" in input:
        sent, state = True, cast("dict[str, object]", input).get("state")
    elif isinstance(input, list) and any(item is calls[0] for item in cast("list[object]", input)):
        sent, state = True, [*cast("Sequence[Any]", read_channel(config, messages_key) or ())]
    messages = _messages(state, messages_key)
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if isinstance(message, AIMessage):
            return Response(calls=calls, message_id=message.id or None, position=position, sent=sent)
    return Response(calls=calls, sent=sent)


def _messages(input: Any, messages_key: str) -> Sequence[Any]:
    if isinstance(input, list):
        return input  # pyright: ignore[reportUnknownVariableType]
    if isinstance(input, dict):
        found = input.get(messages_key)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    else:
        found = getattr(input, messages_key, None)
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()  # pyright: ignore[reportUnknownVariableType]


def locate(response: Response, config: RunnableConfig, runtime: Any) -> Place:
    """The batch of this node execution.

    With a checkpointer: thread, checkpoint and task, which LangGraph gives again to the same work only. With
    `config["configurable"]["durable_run_key"]`: that run, and the response's place in the conversation. Else, or when that place is not
    known: a fleeting one.
    """
    saved = has_checkpointer(config)
    info: Any = getattr(runtime, "execution_info", None)
    namespace = _text(info, "checkpoint_ns") or ""
    run_key: object = configurable(config).get("durable_run_key")
    if isinstance(run_key, str) and run_key and response.position is not None:
        path = _path(namespace)
        name: list[object] = [response.message_id or [response.position, _content(response.calls)]]
        if response.sent:
            # The task's place among those of its step tells equal calls of one response apart.
            name += [_content(response.calls), repr(_task_path(config))]
        digest = _digest(path, _outer(), *name)
        return _numbered(
            Place(run_id=run_key, batch_id=f"{path}/{digest}", lineage=None, durable=True, askable=saved),
            info,
        )
    thread, checkpoint, task = (_text(info, name) for name in ("thread_id", "checkpoint_id", "task_id"))
    if not (saved and thread and checkpoint and task and _text(info, "checkpoint_ns") is not None):
        return Place(run_id="no identity", batch_id="tools", lineage=None, durable=False, askable=False)
    scope = namespace.removesuffix(f":{task}")
    by_message = response.message_id is not None and not response.sent
    digest = _digest(_outer(), response.message_id if by_message else _content(response.calls))
    batch_id = f"{scope}/{checkpoint}/{task}/{digest[:12]}"
    place = Place(
        run_id=thread,
        batch_id=batch_id,
        lineage=_lineage(response, namespace, config),
        durable=True,
        askable=True,
    )
    return _numbered(place, info)


def _lineage(response: Response, namespace: str, config: RunnableConfig) -> str | None:
    """The response's name across forks of its checkpoint; None where it cannot be told from an equal one.

    Calls sent one by one have none: two equal calls of one response would be taken for each other.
    """
    if response.message_id is None or response.sent:
        return None
    ids = [[call["name"], call["id"]] for call in response.calls]
    return _digest(_path(namespace), repr(_task_path(config)), _outer(), response.message_id, ids)


def _task_path(config: RunnableConfig) -> object:
    return (config.get("metadata") or {}).get("langgraph_path")


def _path(namespace: str) -> str:
    """The names of the graphs and nodes, without the ids of their tasks."""
    return "|".join(segment.partition(":")[0] for segment in namespace.split("|"))


def _outer() -> str | None:
    """The call inside which this node runs, if it does: equal batches of two calls are two batches."""
    try:
        return current_call().idempotency_key
    except LookupError:
        return None


def _content(calls: Sequence[ToolCall]) -> list[object]:
    return [[call["name"], call["id"], call["args"]] for call in calls]


def _digest(*parts: object) -> str:
    # `default=repr`: what the model did not send as JSON gives another key at worst, so nothing is replayed.
    try:
        text = json.dumps(parts, default=repr, sort_keys=True)
    except (TypeError, ValueError):
        text = repr(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text(info: Any, name: str) -> str | None:
    found: object = getattr(info, name, None)
    return found if isinstance(found, str) else None


def _numbered(place: Place, info: Any) -> Place:
    """The same, unless this very attempt of the task has run such a batch before: then another one."""
    if info is None:
        return place
    seen = _seen.get()
    counts: dict[str, int] = seen[1] if seen is not None and seen[0] is info else {}
    if not counts:
        _seen.set((info, counts))
    count = counts[place.batch_id] = counts.get(place.batch_id, 0) + 1
    if count == 1:
        return place
    return Place(
        run_id=place.run_id,
        batch_id=f"{place.batch_id}#{count}",
        lineage=place.lineage,
        durable=place.durable,
        askable=place.askable,
    )
