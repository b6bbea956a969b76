"""Bedrock's Converse: roles take turns, and each turn of tool uses is followed by as many results with their ids."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from clients import script
from clients.apis.openai_chat import halves
from clients.loopback import Refused, Reply, Request, plain


def refuse(text: str) -> Refused:
    headers = {"x-amzn-ErrorType": "ValidationException"}
    reply = Reply(pieces=[json.dumps({"message": text}).encode()], status=400, headers=headers)
    return Refused(reply)


def signature(turn: int) -> str:
    return f"bedrock/{turn:04d}+thoughts=="


class Bedrock:
    """Thinks before it asks for calls, as Claude does there."""

    def facts(self, path: str) -> Any:
        return {}

    def answer(self, request: Request) -> Reply:
        asked = request.json
        check(asked["messages"])
        turn = sum(message["role"] == "assistant" for message in asked["messages"])
        wants_calls = script.wants_calls(turn)
        content = called(turn) if wants_calls else [{"text": script.sentence(turn)}]
        reason = "tool_use" if wants_calls else "end_turn"
        if request.path.endswith("/converse-stream"):
            pieces = [framed(kind, body) for kind, body in streamed(content, reason)]
            return Reply(pieces=pieces, kind="application/vnd.amazon.eventstream")
        message = {"role": "assistant", "content": content}
        return plain(
            {"output": {"message": message}, "stopReason": reason, "usage": USAGE, "metrics": METRICS}
        )


USAGE = {"inputTokens": 20, "outputTokens": 30, "totalTokens": 50}
METRICS = {"latencyMs": 5}


def called(turn: int) -> list[dict[str, Any]]:
    thought = {"reasoningText": {"text": script.THOUGHT, "signature": signature(turn)}}
    uses = [
        {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}
        for call in script.calls(turn, "tooluse_")
    ]
    return [{"reasoningContent": thought}, {"text": "I pay them."}, *uses]


def streamed(content: list[dict[str, Any]], reason: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(content):
        place = {"contentBlockIndex": index}
        if "toolUse" in block:
            use = {key: block["toolUse"][key] for key in ("toolUseId", "name")}
            yield "contentBlockStart", {**place, "start": {"toolUse": use}}
        for delta in deltas(block):
            yield "contentBlockDelta", {**place, "delta": delta}
        yield "contentBlockStop", place
    yield "messageStop", {"stopReason": reason}
    yield "metadata", {"usage": USAGE, "metrics": METRICS}


def deltas(block: dict[str, Any]) -> list[dict[str, Any]]:
    if "toolUse" in block:
        return [{"toolUse": {"input": half}} for half in halves(json.dumps(block["toolUse"]["input"]))]
    if "text" in block:
        return [{"text": half} for half in halves(block["text"])]
    thought = block["reasoningContent"]["reasoningText"]
    texts = [{"reasoningContent": {"text": half}} for half in halves(thought["text"])]
    return [*texts, {"reasoningContent": {"signature": thought["signature"]}}]


def framed(kind: str, body: dict[str, Any]) -> bytes:
    """One event in AWS's event stream encoding: lengths and a checksum of them, headers, the payload, a checksum of all."""
    payload = json.dumps(body).encode()
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(header(name, value) for name, value in named.items())
    prelude = struct.pack("!II", len(headers) + len(payload) + 16, len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


def header(name: str, value: str) -> bytes:
    a_string = 7
    return (
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", a_string, len(value))
        + value.encode()
    )


def check(messages: list[dict[str, Any]]) -> None:
    """Refuse what the API refuses of a conversation."""
    turn, uses = 0, list[str]()
    for at, message in enumerate(messages):
        if message["role"] != ("user", "assistant")[at % 2]:
            raise refuse("The roles do not take turns, beginning with the user.")
        results = [block["toolResult"]["toolUseId"] for block in has(message, "toolResult")]
        if set(uses) - set(results):
            raise refuse(
                f"messages.{at}: there is no result for {', '.join(sorted(set(uses) - set(results)))}"
            )
        if len(results) > len(uses) or set(results) - set(uses):
            raise refuse(f"messages.{at}: there are results without a tool use in the turn before")
        if any(not block["text"].strip() for block in has(message, "text")):
            raise refuse(f"messages.{at}: an empty text")
        uses = [block["toolUse"]["toolUseId"] for block in has(message, "toolUse")]
        for block in has(message, "reasoningContent"):
            if block["reasoningContent"]["reasoningText"].get("signature") != signature(turn):
                raise refuse(f"messages.{at}: the signature of a thought does not fit")
        turn += message["role"] == "assistant"
    if uses:
        raise refuse("The conversation ends with a turn of tool uses.")


def has(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for block in message["content"] if kind in block]
