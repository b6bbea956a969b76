"""OpenAI's Responses: a conversation is a list of items; each call has its output, and each reasoning item what it led to."""

from __future__ import annotations

import json
from typing import Any

from clients import script
from clients.apis.openai_chat import halves, refuse
from clients.loopback import Refused, Reply, Request, events, plain

ENCRYPTED = "gAAAAAB-thoughts-of-answer-"


class OpenAIResponses:
    """Keeps nothing of a conversation, so a request that asks it to remember one is refused as an unknown response is."""

    def facts(self, path: str) -> Any:
        return {"object": "list", "data": []}

    def answer(self, request: Request) -> Reply:
        if not request.path.endswith("/responses"):
            raise Refused(plain({"error": {"message": f"no such address: {request.path}"}}, status=404))
        asked = request.json
        if asked.get("previous_response_id"):
            raise refuse("There is no such response.", "previous_response_id", "previous_response_not_found")
        items = asked["input"]
        items = [{"role": "user", "content": items}] if isinstance(items, str) else items
        turn = check(items, stored=asked.get("store", True))
        wants_calls = script.wants_calls(turn)
        sealed = "reasoning.encrypted_content" in (asked.get("include") or ())
        output = called(turn, sealed) if wants_calls else said(turn)
        whole = response(turn, asked, output)
        return events(streamed(whole), named=True) if asked.get("stream") else plain(whole)


def called(turn: int, sealed: bool) -> list[dict[str, Any]]:
    summary = [{"type": "summary_text", "text": script.THOUGHT}]
    thoughts = {"id": f"rs_{turn}", "type": "reasoning", "summary": summary}
    asked = [
        {
            "id": f"fc_{turn}_{index}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": json.dumps(call.arguments),
        }
        for index, call in enumerate(script.calls(turn))
    ]
    return [{**thoughts, **({"encrypted_content": f"{ENCRYPTED}{turn}"} if sealed else {})}, *asked]


def said(turn: int) -> list[dict[str, Any]]:
    text = {"type": "output_text", "text": script.sentence(turn), "annotations": [], "logprobs": []}
    return [
        {
            "id": f"msg_{turn}",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [text],
        }
    ]


def response(turn: int, asked: dict[str, Any], output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"resp_{turn}",
        "object": "response",
        "created_at": 1_790_000_000 + turn,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "metadata": {},
        "model": "gpt-5-2025-08-07",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": asked.get("tools", []),
        "top_p": 1.0,
        "store": asked.get("store", True),
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 30,
            "output_tokens_details": {"reasoning_tokens": 12},
            "total_tokens": 50,
        },
    }


def streamed(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of an answer, item by item, in two pieces each."""
    opened = {**whole, "status": "in_progress", "output": [], "usage": None}
    told = [event("response.created", response=opened), event("response.in_progress", response=opened)]
    for index, item in enumerate(whole["output"]):
        told += [
            {**one, "output_index": index}
            for one in {"reasoning": thinking, "function_call": calling, "message": saying}[item["type"]](
                item
            )
        ]
    told.append(event("response.completed", response=whole))
    return [{**one, "sequence_number": number} for number, one in enumerate(told)]


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def thinking(item: dict[str, Any]) -> list[dict[str, Any]]:
    part, place = item["summary"][0], {"item_id": item["id"], "summary_index": 0}
    empty = {"type": "summary_text", "text": ""}
    return [
        event("response.output_item.added", item={**item, "summary": []}),
        event("response.reasoning_summary_part.added", part=empty, **place),
        *(
            event("response.reasoning_summary_text.delta", delta=half, **place)
            for half in halves(part["text"])
        ),
        event("response.reasoning_summary_text.done", text=part["text"], **place),
        event("response.reasoning_summary_part.done", part=part, **place),
        event("response.output_item.done", item=item),
    ]


def calling(item: dict[str, Any]) -> list[dict[str, Any]]:
    text = item["arguments"]
    return [
        event("response.output_item.added", item={**item, "arguments": "", "status": "in_progress"}),
        *(
            event("response.function_call_arguments.delta", item_id=item["id"], delta=half)
            for half in halves(text)
        ),
        event("response.function_call_arguments.done", item_id=item["id"], name=item["name"], arguments=text),
        event("response.output_item.done", item=item),
    ]


def saying(item: dict[str, Any]) -> list[dict[str, Any]]:
    part, place = item["content"][0], {"item_id": item["id"], "content_index": 0}
    return [
        event("response.output_item.added", item={**item, "content": [], "status": "in_progress"}),
        event("response.content_part.added", part={**part, "text": ""}, **place),
        *(
            event("response.output_text.delta", delta=half, logprobs=[], **place)
            for half in halves(part["text"])
        ),
        event("response.output_text.done", text=part["text"], logprobs=[], **place),
        event("response.content_part.done", part=part, **place),
        event("response.output_item.done", item=item),
    ]


def check(items: list[dict[str, Any]], *, stored: bool) -> int:
    """Refuse what the API refuses of a conversation; else which answer is due, counted from 0."""
    called = {item["call_id"] for item in items if item.get("type") == "function_call"}
    answered = {item["call_id"] for item in items if item.get("type") == "function_call_output"}
    if missing := answered - called:
        raise refuse(f"These outputs have no call: {', '.join(sorted(missing))}", "input")
    if missing := called - answered:
        raise refuse(f"These calls have no output: {', '.join(sorted(missing))}", "input")
    seen = set[str]()
    for at, item in enumerate(items):
        if item.get("type") == "reasoning":
            check_reasoning(item, items[at + 1] if at + 1 < len(items) else {}, f"input[{at}]", stored=stored)
        if str(item.get("id", "")).startswith("fc_") and f"rs_{item['id'].split('_')[1]}" not in seen:
            raise refuse(f"The call {item['id']} comes without its reasoning item.", f"input[{at}]")
        seen.add(str(item.get("id", "")))
    return answers(items)


def check_reasoning(item: dict[str, Any], after: dict[str, Any], where: str, *, stored: bool) -> None:
    sealed = item.get("encrypted_content")
    if sealed is None and not stored:
        raise refuse(f"There is no item {item.get('id')}: nothing is kept when store is false.", where)
    if sealed is not None and sealed != f"{ENCRYPTED}{item['id'].removeprefix('rs_')}":
        raise refuse(
            "The encrypted content is not the one that was given out.", where, "invalid_encrypted_content"
        )
    if after.get("type") not in {"function_call", "message"} and after.get("role") != "assistant":
        raise refuse(f"The reasoning item {item.get('id')} comes without what it led to.", where)


def answers(items: list[dict[str, Any]]) -> int:
    """How many answers of the model the conversation holds: runs of items that are neither the user's nor a tool's."""
    whose = [from_model(item) for item in items]
    return sum(is_its and not before for before, is_its in zip([False, *whose], whose, strict=False))


def from_model(item: dict[str, Any]) -> bool:
    return item.get("type") in {"reasoning", "function_call"} or item.get("role") == "assistant"
