"""OpenAI's Chat Completions: each call of an assistant message is answered by a tool message right after it, and by one only."""

from __future__ import annotations

import json
from typing import Any

from clients import script
from clients.loopback import Refused, Reply, Request, events, plain

LONGEST_ID = 40


def refuse(text: str, param: str | None = None, code: str | None = None) -> Refused:
    error = {"message": text, "type": "invalid_request_error", "param": param, "code": code}
    return Refused(plain({"error": error}, status=400))


class OpenAIChat:
    """`reasoning`: the field in which compatible servers (vLLM, DeepSeek) show what the model thought; OpenAI itself has none."""

    def __init__(self, reasoning: str = "") -> None:
        self.reasoning = reasoning

    def facts(self, path: str) -> Any:
        return {"object": "list", "data": []}

    def answer(self, request: Request) -> Reply:
        if not request.path.endswith("/chat/completions"):
            raise Refused(plain({"error": {"message": f"no such address: {request.path}"}}, status=404))
        asked = request.json
        check(asked["messages"])
        turn = sum(message["role"] == "assistant" for message in asked["messages"])
        wants_calls = script.wants_calls(turn)
        return self._streamed(turn, wants_calls) if asked.get("stream") else self._whole(turn, wants_calls)

    def _message(self, turn: int, wants_calls: bool) -> dict[str, Any]:
        if not wants_calls:
            return {"role": "assistant", "content": script.sentence(turn), "refusal": None}
        thought = {self.reasoning: script.THOUGHT} if self.reasoning else {}
        asked = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in script.calls(turn)
        ]
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": asked, **thought}

    def _whole(self, turn: int, wants_calls: bool) -> Reply:
        choice = {
            "index": 0,
            "message": self._message(turn, wants_calls),
            "logprobs": None,
            "finish_reason": "tool_calls" if wants_calls else "stop",
        }
        usage = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}
        return plain(frame(turn, "chat.completion", choices=[choice], usage=usage))

    def _streamed(self, turn: int, wants_calls: bool) -> Reply:
        message = self._message(turn, wants_calls)
        asked = message.pop("tool_calls", [])
        deltas: list[dict[str, Any]] = [{**message, "content": "" if message["content"] else None}]
        if wants_calls and self.reasoning:
            deltas = [{"role": "assistant", "content": ""}]
            deltas += [{self.reasoning: word} for word in script.THOUGHT.split(" ")]
        for index, call in enumerate(asked):
            first = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
            deltas.append({"tool_calls": [first]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in halves(call["function"]["arguments"])
            ]
        deltas += [{"content": piece} for piece in halves(message["content"] or "")]
        end = "tool_calls" if wants_calls else "stop"
        chunks = [frame(turn, "chat.completion.chunk", choices=[chunk(delta, None)]) for delta in deltas] + [
            frame(turn, "chat.completion.chunk", choices=[chunk({}, end)])
        ]
        return events(chunks, end=["[DONE]"])


def halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [text[:middle], text[middle:]] if text else []


def chunk(delta: dict[str, Any], end: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": end}


def frame(turn: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{turn}",
        "object": kind,
        "created": 1_790_000_000 + turn,
        "model": "gpt-4.1-2025-04-14",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        **fields,
    }


def check(messages: list[dict[str, Any]]) -> None:
    """Refuse what the API refuses of a conversation."""
    open_calls: list[str] = []
    answerable = False
    for at, message in enumerate(messages):
        where = f"messages.[{at}]"
        if message["role"] == "tool":
            if not answerable or message.get("tool_call_id") not in open_calls:
                raise refuse(
                    "A tool message answers no call of the assistant message before it.", f"{where}.role"
                )
            open_calls.remove(message["tool_call_id"])
            check_content(message, where)
            continue
        check_answered(open_calls, where)
        answerable = message["role"] == "assistant" and "tool_calls" in message
        if answerable:
            open_calls = check_calls(message["tool_calls"], where)
        else:
            check_content(message, where)
    check_answered(open_calls, "messages")


def check_content(message: dict[str, Any], where: str) -> None:
    if not isinstance(message.get("content"), (str, list)):
        raise refuse("The content of a message is neither a text nor a list of parts.", f"{where}.content")


def check_answered(open_calls: list[str], where: str) -> None:
    if open_calls:
        raise refuse(f"These calls have no tool message right after them: {', '.join(open_calls)}", where)


def check_calls(asked: list[dict[str, Any]], where: str) -> list[str]:
    if not asked:
        raise refuse("An empty list of calls.", f"{where}.tool_calls", "empty_array")
    for call in asked:
        if call.get("type") != "function" or not isinstance(call["function"]["arguments"], str):
            raise refuse(
                "A call that is no function call with its arguments as a text.", f"{where}.tool_calls"
            )
        if len(call["id"]) > LONGEST_ID:
            raise refuse(
                f"A call's id is longer than {LONGEST_ID}.", f"{where}.tool_calls", "string_above_max_length"
            )
    return [call["id"] for call in asked]
