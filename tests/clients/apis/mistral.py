"""Mistral's chat completions: ids of nine letters and digits, as many answers as calls, and roles in a fixed order."""

from __future__ import annotations

import json
import re
from typing import Any

from clients import script
from clients.apis.openai_chat import chunk, halves
from clients.loopback import Refused, Reply, Request, events, plain

AN_ID = re.compile(r"[a-zA-Z0-9]{9}")

#: who may speak after whom
AFTER = {
    "": {"system", "user"},
    "system": {"user", "system"},
    "user": {"assistant", "user"},
    "assistant": {"tool", "user"},
    "tool": {"tool", "assistant"},
}


def refuse(text: str, kind: str = "invalid_request_message_order") -> Refused:
    error = {"object": "error", "message": text, "type": kind, "param": None, "code": "3230"}
    return Refused(plain(error, status=400))


class Mistral:
    """A streamed answer has all calls in its last chunk."""

    def facts(self, path: str) -> Any:
        return {"object": "list", "data": []}

    def answer(self, request: Request) -> Reply:
        if not request.path.startswith("/v1/chat/completions"):
            raise Refused(plain({"message": "no Route matched with those values"}, status=404))
        asked = request.json
        check(asked["messages"])
        turn = sum(message["role"] == "assistant" for message in asked["messages"])
        said = {"role": "assistant", "content": script.sentence(turn), "tool_calls": None}
        if script.wants_calls(turn):
            said = {"role": "assistant", "content": "", "tool_calls": called(turn)}
        if asked.get("stream"):
            return events(streamed(turn, said), end=["[DONE]"])
        choice = {"index": 0, "message": said, "finish_reason": reason(said)}
        return plain(frame(turn, "chat.completion", choices=[choice], usage=USAGE))


USAGE = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}


def called(turn: int) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id,
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            "index": index,
        }
        for index, call in enumerate(script.calls(turn, ""))
    ]


def reason(said: dict[str, Any]) -> str:
    return "tool_calls" if said["tool_calls"] else "stop"


def streamed(turn: int, said: dict[str, Any]) -> list[dict[str, Any]]:
    last: dict[str, Any] = {"content": ""}
    if said["tool_calls"]:
        last["tool_calls"] = said["tool_calls"]
    choices = [
        chunk({"role": "assistant", "content": ""}, None),
        *(chunk({"content": half}, None) for half in halves(said["content"])),
        chunk(last, reason(said)),
    ]
    told = [frame(turn, "chat.completion.chunk", choices=[choice]) for choice in choices]
    return [*told[:-1], {**told[-1], "usage": USAGE}]


def frame(turn: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"cmpl-{turn}",
        "object": kind,
        "created": 1_790_000_000 + turn,
        "model": "mistral-large-latest",
        **fields,
    }


def check(messages: list[dict[str, Any]]) -> None:
    """Refuse what the API refuses of a conversation."""
    before, open_calls = "", list[str]()
    for message in messages:
        role = message["role"]
        if role not in AFTER[before]:
            raise refuse(f"role {role!r} after role {before!r}")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise refuse("an answer without its call")
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            raise refuse("not as many answers as calls")
        if role == "assistant":
            open_calls = check_said(message)
        before = role
    if open_calls:
        raise refuse("not as many answers as calls")
    if before not in {"user", "tool"}:
        raise refuse("the last message is the assistant's")


def check_said(message: dict[str, Any]) -> list[str]:
    ids = [call["id"] for call in message.get("tool_calls") or ()]
    if not ids and not message.get("content"):
        raise refuse("an assistant message with neither content nor calls", "invalid_request_error")
    if any(not AN_ID.fullmatch(one) for one in ids):
        raise refuse("the id of a call is not nine letters and digits", "invalid_request_error")
    return ids
