"""Where calls that are run here stand among all calls of their response."""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, ToolCall, ToolMessage

#: earlier responses that are looked at
_MOST_EARLIER = 4


def messages_in(input: Any, messages_key: str) -> Sequence[Any]:
    """The conversation in a state of any form; empty when it has none."""
    if isinstance(input, list):
        return input  # pyright: ignore[reportUnknownVariableType]
    if isinstance(input, dict):
        return listed(cast("dict[str, object]", input).get(messages_key))
    return listed(getattr(input, messages_key, None))


def listed(found: object) -> Sequence[Any]:
    """What is a conversation; empty for everything else."""
    return cast("Sequence[Any]", found) if isinstance(found, Sequence) and not isinstance(found, str) else ()


def answered(calls: Sequence[ToolCall], later: Sequence[Any]) -> Collection[int]:
    """The calls with an answer in the conversation: a host that sends calls one by one does not send these."""
    ids = {item.tool_call_id for item in later if isinstance(item, ToolMessage)}
    return [index for index, call in enumerate(calls) if call["id"] in ids]


def whole(message: AIMessage, conversation: Sequence[object]) -> AIMessage | None:
    """The message of the conversation that `message` is, or is a part of: a node's own code may give each tool node its share of the calls.

    None when it is none of the conversation's.
    """
    for found in reversed(conversation):
        if found is message:
            return message
        if not isinstance(found, AIMessage) or found.id != message.id:
            continue
        if message.id is None:
            # Without an id it is told by its calls alone, so it must have all of them.
            return found if found.tool_calls == message.tool_calls else None
        ids = {call["id"] for call in found.tool_calls}
        return found if all(call["id"] in ids for call in message.tool_calls) else None
    return None


def earlier_ones(messages: Sequence[Any]) -> Sequence[str]:
    """The ids of the last responses that asked for calls and have all their answers."""
    found: list[str] = []
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if not isinstance(message, AIMessage) or not message.tool_calls or not message.id:
            continue
        if len(answered(message.tool_calls, messages[position + 1 :])) == len(message.tool_calls):
            found.append(message.id)
        if len(found) == _MOST_EARLIER:
            break
    return found


def places(
    calls: Sequence[ToolCall],
    siblings: Sequence[ToolCall],
    answered: Collection[int],
    push_index: int | None,
) -> tuple[int, ...]:
    """Where the calls stand among their siblings; empty when one of them cannot be told from an equal one, or does not wait for an answer.

    By content and never by object: after a crash the calls and the response come from the checkpoint as objects of their own. A wrapper may
    have changed a call on its way here, so what tells a call is its id first.
    """
    if len(calls) == len(siblings) and all(map(operator.is_, calls, siblings)):
        return tuple(range(len(calls)))
    left = [index for index in range(len(siblings)) if index not in answered]
    alike = [_alike(call, siblings, left) for call in calls]
    if push_index is not None and len(calls) == 1 and len(alike[0]) > 1:
        # The host numbers the tasks of a step in the order of their calls.
        return tuple(index for index in left[push_index : push_index + 1] if index in alike[0])
    found: list[int] = []
    for fits in alike:
        if alike.count(fits) != len(fits):
            return ()
        found.append(next(index for index in fits if index not in found))
    return tuple(found)


def _alike(call: ToolCall, siblings: Sequence[ToolCall], left: Sequence[int]) -> tuple[int, ...]:
    fits = [index for index in left if siblings[index]["id"] == call["id"]]
    if len(fits) > 1:
        fits = [index for index in fits if siblings[index]["name"] == call["name"]] or fits
    if len(fits) > 1:
        fits = [index for index in fits if siblings[index]["args"] == call["args"]] or fits
    return tuple(fits)
