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

from toolslot import Witness, current_call
from toolslot.hosting import args_digest
from toolslot_langgraph._arguments import issued
from toolslot_langgraph._compat import (
    as_name,
    checkpointer_of,
    configurable,
    has_checkpointer,
    read_channel,
    task_of,
)
from toolslot_langgraph._siblings import answered, earlier_ones, listed, messages_in, places, whole
from toolslot_langgraph._step import edited, ended_beside


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a batch is kept. `durable` is False when nothing says which run this is: then nothing can be replayed.

    `askable`: a question to a human can be raised here and answered later. `calls`: those of the batch, in the model's order; the ones that
    are run here are those at `indices`, and those at `answered` have an answer in the conversation and are run nowhere. `shared`: the batch
    is that of a response in the graph's own conversation, and no task has it for its own.
    """

    run_id: str
    batch_id: str
    lineage: str | None
    durable: bool
    askable: bool
    calls: Sequence[ToolCall]
    indices: Sequence[int]
    answered: Collection[int] = ()
    shared: bool = False
    #: its answers are not lost: the conversation has them, for the graph has come back to the response; or this task has
    again: bool = False
    #: the lineages of earlier responses of the conversation, the newest first; it has all their answers
    follows: Sequence[str] = ()
    #: what the names of batches of this place had in them in journals of format 1; None where there were none
    former: str | None = None
    #: what the saver holds that only batches can have made
    witness: Witness | None = None
    #: a person edited the state in which the response is run
    by_hand: bool = False
    #: the id of the response's message
    message_id: str | None = None
    #: how many batches this attempt of the task has begun before, in a node whose own code runs several
    ordinal: int = 0

    @property
    def partial(self) -> bool:
        """Whether calls of the batch are run elsewhere, each by a task of its own."""
        return len(self.indices) < len(self.calls)


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """The model response whose calls are run. `position`, in the conversation, is None when its message was not found.

    `sent`: these are calls sent one by one, so there may be more of the response than these. `siblings`: all calls of the response, where
    it was found in the graph's own conversation, whatever tools the node has that runs `calls`; those at `indices` are run here, and those
    at `answered` have an answer in the conversation.
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
    #: the ids of earlier responses of the conversation that has all their answers, the newest first
    earlier: Sequence[str] = ()
    #: tools have answered calls of earlier responses
    told: bool = False

    @property
    def shared(self) -> bool:
        """Whether the calls were found among those of a response in the graph's own conversation."""
        return bool(self.indices)


#: message ids that were made here, and not by the model's provider: by the reducer of messages, which gives another at every run of the
#: graph to a message that has none, and by LangChain, from the id of the request to the model
_RANDOM_ID = re.compile(
    r"(lc_.*|run-.*|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.DOTALL
)

#: the task attempt that runs in this context, and how often it has run each call: a node's own code may run the same calls twice
_seen: ContextVar[tuple[object, dict[tuple[str, int], int]] | None] = ContextVar(
    "toolslot_langgraph_seen", default=None
)


def read_response(
    input: Any, messages_key: str, calls: Sequence[ToolCall], config: RunnableConfig
) -> Response:
    """The response behind a node's input; `calls` are those that ToolNode found in it and that are to be run here."""
    sent, state = False, input
    if isinstance(input, dict) and "__type" in input:
        sent, state = True, cast("dict[str, object]", input).get("state")
    elif isinstance(input, list) and any(item is calls[0] for item in cast("list[object]", input)):
        sent, state = True, [*cast("Sequence[Any]", read_channel(config, messages_key) or ())]
    messages = messages_in(state, messages_key)
    conversation = messages if sent else listed(read_channel(config, messages_key))
    return respond(messages, calls, config, sent=sent, conversation=conversation)


def respond(
    messages: Sequence[Any],
    calls: Sequence[ToolCall],
    config: RunnableConfig,
    *,
    sent: bool,
    conversation: Sequence[Any] | None = None,
) -> Response:
    """The last response in `messages`, as the one that asked for these calls. `conversation` is the graph's own; default: the same."""
    saver = checkpointer_of(config)
    serde = None if saver is None else saver.serde
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if not isinstance(message, AIMessage):
            continue
        later = messages[position + 1 :]
        theirs = issued(message.tool_calls, message, serde)
        at = {id(given): index for index, given in enumerate(message.tool_calls)}
        if all(id(call) in at for call in calls):
            calls = [theirs[at[id(call)]] for call in calls]
        else:  # no part of the message: as they were when their task was first run here
            calls = issued(calls, task_of(config), serde)
        again = len(answered(calls, later)) == len(calls)
        found = whole(message, messages if conversation is None else conversation)
        if found is None:
            return Response(
                calls=calls, message_id=message.id or None, position=position, sent=sent, again=again
            )
        siblings = theirs if found is message else issued(found.tool_calls, found, serde)
        done = answered(siblings, later) if sent else ()
        return Response(
            calls=calls,
            message_id=message.id or None,
            position=position,
            sent=sent,
            siblings=siblings,
            indices=places(calls, siblings, done, _push_index(config) if sent else None),
            answered=done,
            again=again,
            earlier=earlier_ones(messages[:position]),
            told=any(
                isinstance(item, ToolMessage) and item.status == "success" for item in messages[:position]
            ),
        )
    return Response(calls=issued(calls, task_of(config), serde), sent=sent)


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
    calls = response.siblings if response.shared else response.calls
    indices = response.indices if response.shared else range(len(response.calls))
    done = response.answered if response.shared else ()

    def number(place: Place) -> Place:
        return _numbered(place, info) if numbered else place

    run_key = as_name(configurable(config).get("durable_run_key"))
    if run_key is not None and response.position is not None:
        path = _path(_graph(namespace) if response.shared else namespace)
        batch_id = f"{path or _ROOT}/{_digest(path, _outer(), *_name(response, config))}"
        return number(
            Place(
                run_id=run_key,
                batch_id=batch_id,
                lineage=None,
                durable=True,
                askable=saved,
                calls=calls,
                indices=indices,
                answered=done,
                former="",
                message_id=response.message_id,
                shared=response.shared,
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
            answered=done,
            shared=response.shared,
            again=response.again,
            former=checkpoint,
            witness=_witness(response, config),
            by_hand=edited(config),
            message_id=response.message_id,
            follows=[_shared_lineage(namespace, name) for name in response.earlier],
        )
    )


def _witness(response: Response, config: RunnableConfig) -> Witness | None:
    # The calls of the response that other tasks run share its batch, so one that has ended has been in it.
    if response.shared and response.sent and ended_beside(config):
        return Witness.BATCH
    return Witness.RUN if response.told else None


#: the namespace of the outermost graph in a batch's name: LangGraph has no text for it
_ROOT = "root"


def _batch_id(response: Response, namespace: str, checkpoint: str, task: str) -> str:
    if response.shared:
        # Neither the node nor its tools: a node that the next deploy cuts in two, or that gets other tools, finds the same batch.
        name = response.message_id or _content(response.siblings)
        return f"{_graph(namespace) or _ROOT}/{checkpoint}/{_digest(_outer(), name)[:12]}"
    scope = namespace.removesuffix(f":{task}")
    by_message = response.message_id is not None and not response.sent
    digest = _digest(_outer(), response.message_id if by_message else _content(response.calls))
    return f"{scope}/{checkpoint}/{task}/{digest[:12]}"


def where_it_ran(batch_id: str, *, shared: bool) -> tuple[str, str]:
    """The namespace of the graph and the id of the checkpoint that a batch's name tells of."""
    scope, checkpoint, *_ = batch_id.rsplit("/", 2 if shared else 3)
    if shared:
        return "" if scope == _ROOT else scope, checkpoint
    return _graph(scope), checkpoint


def _graph(namespace: str) -> str:
    """The namespace of the graph, from that of a node in it."""
    return namespace.rpartition("|")[0]


def _name(response: Response, config: RunnableConfig) -> list[object]:
    """The batch's name within its run key."""
    calls = response.siblings if response.shared else response.calls
    own_id = (
        response.message_id if response.message_id and not _RANDOM_ID.fullmatch(response.message_id) else None
    )
    name: list[object] = [own_id or [response.position, _content(calls)]]
    if response.sent and not response.shared:
        # The task's place among those of its step tells equal calls of one response apart.
        name += [_content(calls), repr(_task_path(config))]
    return name


def _lineage(response: Response, namespace: str, config: RunnableConfig) -> str | None:
    """The response's name across forks of its checkpoint; None where it cannot be told from an equal one."""
    if response.message_id is None or (response.sent and not response.shared):
        return None
    if response.shared:
        return _shared_lineage(namespace, response.message_id)
    ids = _ids(response.calls)
    return _digest(_path(namespace), repr(_task_path(config)), _outer(), response.message_id, ids)


def root_lineage(message_id: str) -> str:
    """The lineage of a response of the outermost graph."""
    return _shared_lineage("", message_id)


def _shared_lineage(namespace: str, message_id: str) -> str:
    return _digest(_path(_graph(namespace)), "response", _outer(), message_id)


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


#: stands among the calls for the batches
_BATCHES = ("", -1)


def _numbered(place: Place, info: Any) -> Place:
    """The same, unless this very attempt of the task has run these calls before: then another batch."""
    if info is None:
        return place
    seen = _seen.get()
    counts: dict[tuple[str, int], int] = seen[1] if seen is not None and seen[0] is info else {}
    if not counts:
        _seen.set((info, counts))
    ordinal = counts[_BATCHES] = counts.get(_BATCHES, -1) + 1
    count = 1
    for each in ((place.batch_id, index) for index in place.indices):
        counts[each] = counts.get(each, 0) + 1
        count = max(count, counts[each])
    if count == 1:
        return replace(place, ordinal=ordinal)
    return replace(place, ordinal=ordinal, batch_id=f"{place.batch_id}#{count}", witness=None, again=True)
