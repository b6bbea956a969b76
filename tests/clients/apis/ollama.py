"""Ollama's chat: lines of JSON, calls without ids, and hardly anything that it refuses."""

from __future__ import annotations

import json
from typing import Any

from clients import script
from clients.apis.openai_chat import halves
from clients.loopback import Refused, Reply, Request, plain


def refuse(text: str) -> Refused:
    return Refused(plain({"error": text}, status=400))


class Ollama:
    """Which answer belongs to which call only their order says."""

    def facts(self, path: str) -> Any:
        return {"models": []}

    def answer(self, request: Request) -> Reply:
        if request.path != "/api/chat":
            raise Refused(plain({"error": f"no such address: {request.path}"}, status=404))
        asked = request.json
        check(asked["messages"])
        turn = sum(message["role"] == "assistant" for message in asked["messages"])
        wants_calls = script.wants_calls(turn)
        said = called(turn) if wants_calls else [{"content": half} for half in halves(script.sentence(turn))]
        if asked.get("stream", True):
            lines = [line(one, done=False) for one in said] + [line({}, done=True)]
            pieces = [json.dumps(one).encode() + b"\n" for one in lines]
            return Reply(pieces=pieces, kind="application/x-ndjson")
        whole = {key: value for one in said for key, value in one.items()}
        texts = {key: "".join(one.get(key, "") for one in said) for key in ("content", "thinking")}
        return plain(line({**whole, **{key: text for key, text in texts.items() if text}}, done=True))


def called(turn: int) -> list[dict[str, Any]]:
    thoughts: list[dict[str, Any]] = [{"thinking": half} for half in halves(script.THOUGHT)]
    functions = [{"name": call.name, "arguments": call.arguments} for call in script.calls(turn)]
    return [*thoughts, {"tool_calls": [{"function": function} for function in functions]}]


def line(said: dict[str, Any], *, done: bool) -> dict[str, Any]:
    end = {
        "done_reason": "stop",
        "total_duration": 5,
        "load_duration": 1,
        "prompt_eval_count": 20,
        "prompt_eval_duration": 2,
        "eval_count": 30,
        "eval_duration": 2,
    }
    return {
        "model": "qwen3",
        "created_at": "2026-05-17T12:00:00.000000Z",
        "message": {"role": "assistant", "content": "", **said},
        "done": done,
        **(end if done else {}),
    }


def check(messages: list[dict[str, Any]]) -> None:
    """Refuse what does not have the types of the API."""
    for at, message in enumerate(messages):
        if not isinstance(message.get("content", ""), str):
            raise refuse(f"messages[{at}].content is no string")
        for call in message.get("tool_calls") or ():
            if not isinstance(call["function"]["arguments"], dict):
                raise refuse(f"messages[{at}].tool_calls: the arguments of a function are no object")
