"""Which batch a node execution belongs to: found again after a crash, a retry or an interrupt, and by nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, cast

from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.base import SerializerProtocol

from toolslot import current_call
from toolslot._identity import args_digest
from toolslot_langgraph._arguments import issued
from toolslot_langgraph._compat import (
    as_name,
    checkpointer_of,
    configurable,
    has_checkpointer,
    read_channel,
    task_of,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a batch is kept. `durable` is False when nothing says which run this is: then nothing can be replayed.

    `askable`: a question to a human can be raised here and answered later. `calls`: those of the batch, in the model's order; the ones that
    are run here are those at `indices`, and those at `answered` have an answer in the conversation and are run nowhere. `grouped`: they are
    sent one by one, and no task has the batch for its own.
    """

    run_id: str
    batch_id: str
    lineage: str | None
    durable: bool
    askable: bool
    calls: Sequence[ToolCall]
    indices: Sequence[int]
    answered: Collection[int] = ()
    grouped: bool = False
    #: the conversation has the answers already: the graph has come back to the response
    again: bool = False

    @property
    def partial(self) -> bool:
        """Whether calls of the batch are run elsewhere, each by a task of its own."""
        return len(self.indices) < len(self.calls)


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """The model response whose calls are run. `position`, in the conversation, is None when its message was not found.

    `sent`: these are calls sent one by one, so there may be more of the response than these. `siblings`: all calls of the response for the
    tools of this node, where that is known; those at `indices` are run here, and those at `answered` have an answer in the conversation.
    """

    calls: Sequence[ToolCall]
    message_id: str | None = None
    position: int | None = None
    sent: bool = False
    siblings: Sequence[ToolCall] = ()
    indices: Sequence[int] = ()
    answered: Collection[int] = ()
    #: all of `calls` have an answer in the conversation
    again: bool = False

    @property
    def grouped(self) -> bool:
        """Whether the calls were found among those of their response."""
        return bool(self.indices)


#: message ids that were made here, and not by the model's provider: by the reducer of messages, which gives another at every run of the
#: graph to a message that has none, and by LangChain, from the id of the request to the model
_RANDOM_ID = re.compile(
    r"(lc_.*|run-.*|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.DOTALL
)

#: the task attempt that runs in this context, and how often it has run each batch: a node's own code may run the same calls twice
_seen: ContextVar[tuple[object, dict[str, int]] | None] = ContextVar("toolslot_langgraph_seen", default=None)


def read_response(
    input: Any,
    messages_key: str,
    calls: Sequence[ToolCall],
    config: RunnableConfig,
    serves: Collection[str] | None = None,
) -> Response:
    """The response behind a node's input; `calls` are those that ToolNode found in it, `serves` the tools it has, None for any."""
    sent, state = False, input
    if isinstance(input, dict) and "__type" in input:
        sent, state = True, cast("dict[str, object]", input).get("state")
    elif isinstance(input, list) and any(item is calls[0] for item in cast("list[object]", input)):
        sent, state = True, [*cast("Sequence[Any]", read_channel(config, messages_key) or ())]
    return respond(messages_in(state, messages_key), calls, config, sent=sent, serves=serves)


def respond(
    messages: Sequence[Any],
    calls: Sequence[ToolCall],
    config: RunnableConfig,
    *,
    sent: bool,
    serves: Collection[str] | None = None,
) -> Response:
    """The last response in the conversation, as the one that asked for these calls."""
    saver = checkpointer_of(config)
    serde = None if saver is None else saver.serde
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if isinstance(message, AIMessage):
            later = messages[position + 1 :]
            theirs = issued(message.tool_calls, message, serde)
            copies = {id(given): copy for given, copy in zip(message.tool_calls, theirs, strict=True)}
            if not all(id(call) in copies for call in calls):
                copies |= _copies(calls, config, serde)
            calls = [copies[id(call)] for call in calls]
            siblings: Sequence[ToolCall] = ()
            indices: Sequence[int] = ()
            answered: Collection[int] = ()
            if sent:
                siblings = [call for call in theirs if serves is None or call["name"] in serves]
                answered = _answered(siblings, later)
                indices = _indices(calls, siblings, answered, _push_index(config))
            return Response(
                calls=calls,
                message_id=message.id or None,
                position=position,
                sent=sent,
                siblings=siblings,
                indices=indices,
                answered=answered,
                again=len(_answered(calls, later)) == len(calls),
            )
    copies = _copies(calls, config, serde)
    return Response(calls=[copies[id(call)] for call in calls], sent=sent)


def _copies(
    calls: Sequence[ToolCall], config: RunnableConfig, serde: SerializerProtocol | None
) -> dict[int, ToolCall]:
    """Calls that are no part of a message, as they were when their task was first run here, by the objects they are."""
    copies = issued(calls, task_of(config), serde)
    return {id(given): copy for given, copy in zip(calls, copies, strict=True)}


def _answered(calls: Sequence[ToolCall], later: Sequence[Any]) -> Collection[int]:
    """The calls with an answer in the conversation: a host that sends calls one by one does not send these."""
    ids = {item.tool_call_id for item in later if isinstance(item, ToolMessage)}
    return [index for index, call in enumerate(calls) if call["id"] in ids]


def _indices(
    calls: Sequence[ToolCall],
    siblings: Sequence[ToolCall],
    answered: Collection[int],
    push_index: int | None,
) -> tuple[int, ...]:
    """Where the calls stand among their siblings; empty when one of them cannot be told from an equal one, or does not wait for an answer.

    By content and never by object: after a crash the calls and the response come from the checkpoint as objects of their own.
    """
    here = [_digest(_content([call])) for call in calls]
    # A digest of each sibling, at the entrance of each call, would be N times N of them.
    looked_for = {(call["name"], call["id"]) for call in calls}
    pending = [
        (index, _digest(_content([call])) if (call["name"], call["id"]) in looked_for else None)
        for index, call in enumerate(siblings)
        if index not in answered
    ]
    names = [name for _, name in pending]
    if push_index is not None and len(here) == 1 and names.count(here[0]) > 1:
        # The host numbers the tasks of a step in the order of their calls.
        there = pending[push_index : push_index + 1]
        return tuple(index for index, name in there if name == here[0])
    found: list[int] = []
    for name in here:
        if here.count(name) != names.count(name):
            return ()
        found.append(next(index for index, other in pending if other == name and index not in found))
    return tuple(found)


def own_task(config: RunnableConfig) -> bool:
    """Whether the task that runs here was sent for one call, and so shares its counters and answers with no other call."""
    return _push_index(config) is not None


def _push_index(config: RunnableConfig) -> int | None:
    """The number of this task among those that were sent in its step; None when it was not sent."""
    path = _task_path(config)
    if not isinstance(path, (tuple, list)):
        return None
    kind, *rest = cast("Sequence[object]", path)
    return rest[0] if kind == "__pregel_push" and rest and isinstance(rest[0], int) else None


def messages_in(input: Any, messages_key: str) -> Sequence[Any]:
    """The conversation in a state of any form; empty when it has none."""
    if isinstance(input, list):
        return input  # pyright: ignore[reportUnknownVariableType]
    if isinstance(input, dict):
        found = input.get(messages_key)  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    else:
        found = getattr(input, messages_key, None)
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()  # pyright: ignore[reportUnknownVariableType]


def locate(response: Response, config: RunnableConfig, runtime: Any, *, numbered: bool = True) -> Place:
    """The batch of this node execution.

    With a checkpointer: thread, checkpoint and task, which LangGraph gives again to the same work only. With
    `config["configurable"]["durable_run_key"]`: that run, and the response's place in the conversation. Else, or when that place is not
    known: a fleeting one. Calls that are sent one by one belong to one batch, which no task has for its own.

    `numbered`: the same work done again by the same attempt of a task is another batch.
    """
    saved = has_checkpointer(config)
    info: Any = getattr(runtime, "execution_info", None)
    namespace = _text(info, "checkpoint_ns") or ""
    calls = response.siblings if response.grouped else response.calls
    indices = response.indices if response.grouped else range(len(response.calls))
    answered = response.answered if response.grouped else ()

    def number(place: Place) -> Place:
        return _numbered(place, info) if numbered else place

    run_key = as_name(configurable(config).get("durable_run_key"))
    if run_key is not None and response.position is not None:
        path = _path(namespace)
        batch_id = f"{path}/{_digest(path, _outer(), *_name(response, config))}"
        return number(
            Place(
                run_id=run_key,
                batch_id=batch_id,
                lineage=None,
                durable=True,
                askable=saved,
                calls=calls,
                indices=indices,
                answered=answered,
            )
        )
    thread = as_name(getattr(info, "thread_id", None))
    checkpoint, task = _text(info, "checkpoint_id"), _text(info, "task_id")
    if not (saved and thread and checkpoint and task and _text(info, "checkpoint_ns") is not None):
        return Place(
            run_id="no identity",
            batch_id="tools",
            lineage=None,
            durable=False,
            askable=False,
            calls=calls,
            indices=indices,
        )
    return number(
        Place(
            run_id=thread,
            batch_id=_batch_id(response, namespace, checkpoint, task),
            lineage=_lineage(response, namespace, config),
            durable=True,
            askable=True,
            calls=calls,
            indices=indices,
            answered=answered,
            grouped=response.grouped,
            again=response.again,
        )
    )


def _batch_id(response: Response, namespace: str, checkpoint: str, task: str) -> str:
    scope = namespace.removesuffix(f":{task}")
    if response.grouped:
        name = (
            [response.message_id, _ids(response.siblings)]
            if response.message_id
            else _content(response.siblings)
        )
        return f"{scope}/{checkpoint}/{_digest(_outer(), name)[:12]}"
    by_message = response.message_id is not None and not response.sent
    digest = _digest(_outer(), response.message_id if by_message else _content(response.calls))
    return f"{scope}/{checkpoint}/{task}/{digest[:12]}"


def where_it_ran(batch_id: str, *, grouped: bool) -> tuple[str, str]:
    """The namespace of the graph and the id of the checkpoint that a batch's name tells of."""
    scope, checkpoint, *_ = batch_id.rsplit("/", 2 if grouped else 3)
    return scope.rpartition("|")[0], checkpoint


def _name(response: Response, config: RunnableConfig) -> list[object]:
    """The batch's name within its run key."""
    calls = response.siblings if response.grouped else response.calls
    own_id = (
        response.message_id if response.message_id and not _RANDOM_ID.fullmatch(response.message_id) else None
    )
    name: list[object] = [own_id or [response.position, _content(calls)]]
    if response.grouped:
        name.append(_ids(calls))
    elif response.sent:
        # The task's place among those of its step tells equal calls of one response apart.
        name += [_content(calls), repr(_task_path(config))]
    return name


def _lineage(response: Response, namespace: str, config: RunnableConfig) -> str | None:
    """The response's name across forks of its checkpoint; None where it cannot be told from an equal one."""
    if response.message_id is None or (response.sent and not response.grouped):
        return None
    if response.grouped:
        return _digest(_path(namespace), "sent", _outer(), response.message_id, _ids(response.siblings))
    ids = _ids(response.calls)
    return _digest(_path(namespace), repr(_task_path(config)), _outer(), response.message_id, ids)


def _ids(calls: Sequence[ToolCall]) -> list[object]:
    return [[call["name"], call["id"]] for call in calls]


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
        text = json.dumps(parts, default=_steady, sort_keys=True)
    except (TypeError, ValueError):  # keys that are no strings
        text = args_digest("", {"": parts}) or repr(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _steady(value: object) -> object:
    """What stands for a value that is no JSON: a set has no order that another process would find again."""
    return (
        sorted(map(repr, cast("set[object]", value))) if isinstance(value, (set, frozenset)) else repr(value)
    )


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
    return replace(place, batch_id=f"{place.batch_id}#{count}")
