"""Anthropic's Messages: the user's next message begins with a result for each tool use, and thoughts come back with their signatures."""

from __future__ import annotations

import json
from typing import Any

from clients import script
from clients.apis.openai_chat import halves
from clients.loopback import Refused, Reply, Request, events, plain


def refuse(text: str) -> Refused:
    error = {"type": "invalid_request_error", "message": text}
    return Refused(plain({"type": "error", "error": error, "request_id": "req_0"}, status=400))


def signature(turn: int) -> str:
    return f"EqQBCgIYAhIM{turn:04d}+thoughts/=="


class Anthropic:
    """Thinks before it asks for calls, when the request lets it."""

    def facts(self, path: str) -> Any:
        return {"data": [], "has_more": False}

    def answer(self, request: Request) -> Reply:
        if request.path.partition("?")[0] != "/v1/messages":
            error = {"type": "not_found_error", "message": request.path}
            raise Refused(plain({"type": "error", "error": error}, status=404))
        asked = request.json
        thinks = asked.get("thinking", {}).get("type") in {"enabled", "adaptive"}
        check(asked["messages"], thinks=thinks)
        turn = sum(message["role"] == "assistant" for message in asked["messages"])
        wants_calls = script.wants_calls(turn)
        content = called(turn, thinks) if wants_calls else [{"type": "text", "text": script.sentence(turn)}]
        whole = message(turn, content, "tool_use" if wants_calls else "end_turn")
        return events(streamed(whole), named=True) if asked.get("stream") else plain(whole)


def called(turn: int, thinks: bool) -> list[dict[str, Any]]:
    thought = {"type": "thinking", "thinking": script.THOUGHT, "signature": signature(turn)}
    text = {"type": "text", "text": "I pay them."}
    asked = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        for call in script.calls(turn, "toolu_")
    ]
    return [*([thought] if thinks else []), text, *asked]


def message(turn: int, content: list[dict[str, Any]], reason: str) -> dict[str, Any]:
    return {
        "id": f"msg_{turn}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 20,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 30,
        },
    }


def streamed(whole: dict[str, Any]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        {"type": "ping"},
    ]
    for index, block in enumerate(whole["content"]):
        empty, deltas = {"text": text_block, "thinking": thinking_block, "tool_use": tool_block}[
            block["type"]
        ](block)
        told.append({"type": "content_block_start", "index": index, "content_block": empty})
        told += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        told.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    return [
        *told,
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 30}},
        {"type": "message_stop"},
    ]


def text_block(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return {**block, "text": ""}, [{"type": "text_delta", "text": half} for half in halves(block["text"])]


def thinking_block(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    deltas = [{"type": "thinking_delta", "thinking": half} for half in halves(block["thinking"])]
    seal = {"type": "signature_delta", "signature": block["signature"]}
    return {**block, "thinking": "", "signature": ""}, [*deltas, seal]


def tool_block(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    pieces = ["", *halves(json.dumps(block["input"]))]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def check(messages: list[dict[str, Any]], *, thinks: bool) -> None:
    """Refuse what the API refuses of a conversation."""
    if messages[0]["role"] != "user":
        raise refuse("messages: the first message is not the user's")
    begins = max(
        at for at, message in enumerate(messages) if message["role"] == "user" and not results(message)
    )
    turn, open_uses = 0, list[str]()
    for at, message in enumerate(messages):
        where = f"messages.{at}"
        check_results(open_uses, message, where)
        open_uses = [block["id"] for block in blocks(message, "tool_use")]
        check_blocks(message, where)
        if message["role"] == "assistant":
            check_thoughts(message, turn, where, due=thinks and bool(open_uses) and at > begins)
            turn += 1
    if open_uses:
        raise refuse(f"messages: these tool uses have no result: {', '.join(open_uses)}")


def blocks(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    content = message["content"]
    return [] if isinstance(content, str) else [block for block in content if block["type"] == kind]


def results(message: dict[str, Any]) -> list[str]:
    return [block["tool_use_id"] for block in blocks(message, "tool_result")]


def check_results(open_uses: list[str], message: dict[str, Any], where: str) -> None:
    found = results(message)
    if missing := set(open_uses) - set(found):
        raise refuse(
            f"{where}: these tool uses have no result right after them: {', '.join(sorted(missing))}"
        )
    if set(found) - set(open_uses) or len(found) != len(set(found)):
        raise refuse(f"{where}: a tool result without its tool use in the message before")
    if found and message["content"][0]["type"] != "tool_result":
        raise refuse(f"{where}: results of tools do not come first")


def check_blocks(message: dict[str, Any], where: str) -> None:
    if any(not block["text"].strip() for block in blocks(message, "text")) or message["content"] in ("", []):
        raise refuse(f"{where}: an empty text")
    if any(not isinstance(block["input"], dict) for block in blocks(message, "tool_use")):
        raise refuse(f"{where}: the input of a tool use is no object")


def check_thoughts(message: dict[str, Any], turn: int, where: str, *, due: bool) -> None:
    thoughts = blocks(message, "thinking")
    if due and (not thoughts or message["content"][0]["type"] != "thinking"):
        raise refuse(
            f"{where}: thinking is on, and the message with the tool uses does not begin with a thought"
        )
    for block in thoughts:
        if block.get("signature") != signature(turn) or block["thinking"] != script.THOUGHT:
            raise refuse(f"{where}: the signature of a thought does not fit")
