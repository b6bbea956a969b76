"""Gemini's generateContent: a turn of calls is answered by as many responses, and comes back with the signature it was given."""

from __future__ import annotations

import base64
from typing import Any

from clients import script
from clients.loopback import Refused, Reply, Request, events, plain

MODEL = "gemini-3-pro-preview"


def refuse(text: str) -> Refused:
    error = {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}
    return Refused(plain({"error": error}, status=400))


def seal(turn: int, part: str) -> str:
    """A signature: what a part of this answer is sealed with, bytes that are no text in any encoding."""
    return base64.b64encode(b"\xff\x00\x9f " + part.encode() + b" \xfe" + turn.to_bytes(4, "big")).decode()


class Gemini:
    """The paths are those of the Gemini API; a streamed answer has a thought, the calls and the end in chunks of their own."""

    def facts(self, path: str) -> Any:
        return {"name": f"models/{MODEL}", "inputTokenLimit": 1_000_000, "outputTokenLimit": 65_536}

    def answer(self, request: Request) -> Reply:
        if "GenerateContent" not in request.path and "generateContent" not in request.path:
            raise Refused(plain({"error": {"code": 404, "status": "NOT_FOUND"}}, status=404))
        contents = request.json["contents"]
        check(contents)
        turn = sum(content["role"] == "model" for content in contents)
        wants_calls = script.wants_calls(turn)
        chunks = said(turn) if not wants_calls else called(turn)
        if "streamGenerateContent" in request.path:
            last = len(chunks) - 1
            return events([response(turn, parts, end=at == last) for at, parts in enumerate(chunks)])
        return plain(response(turn, [part for parts in chunks for part in parts], end=True))


def called(turn: int) -> list[list[dict[str, Any]]]:
    """Thoughts, then the calls, of which only the first is sealed."""
    words = script.THOUGHT.partition("; ")
    thoughts: list[dict[str, Any]] = [
        {"text": text, "thought": True} for text in (words[0] + words[1], words[2])
    ]
    thoughts[1]["thoughtSignature"] = seal(turn, "thought")
    asked: list[dict[str, Any]] = [
        {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
        for call in script.calls(turn)
    ]
    asked[0]["thoughtSignature"] = seal(turn, "call")
    return [[thoughts[0]], [thoughts[1]], asked[:2], asked[2:]]


def said(turn: int) -> list[list[dict[str, Any]]]:
    text = script.sentence(turn)
    return [[{"text": text[:4]}], [{"text": text[4:], "thoughtSignature": seal(turn, "text")}]]


def response(turn: int, parts: list[dict[str, Any]], *, end: bool) -> dict[str, Any]:
    candidate = {
        "content": {"role": "model", "parts": parts},
        "index": 0,
        **({"finishReason": "STOP"} if end else {}),
    }
    usage = {
        "promptTokenCount": 20,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 12,
        "totalTokenCount": 62,
    }
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": MODEL,
        "responseId": f"response-{turn}",
    }


def check(contents: list[dict[str, Any]]) -> None:
    """Refuse what the API refuses of a conversation."""
    if contents[0]["role"] != "user":
        raise refuse("The conversation does not begin with the user.")
    begins = [at for at, content in enumerate(contents) if is_question(content)]
    if not begins:
        raise refuse("The conversation has no question.")
    turn, asked = 0, list[dict[str, Any]]()
    for at, content in enumerate(contents):
        if content["role"] not in {"user", "model"}:
            raise refuse(f"There is no role {content['role']!r}.")
        if not content.get("parts"):
            raise refuse("A content without parts.")
        check_answers(asked, has(content, "functionResponse"))
        asked = has(content, "functionCall")
        if content["role"] == "model":
            # Of earlier turns the API does not ask for signatures.
            check_calls(asked, turn, current=at > begins[-1])
            turn += 1
    if asked:
        raise refuse("The conversation ends with a turn of calls.")


def has(content: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [part for part in content.get("parts", ()) if kind in part]


def is_question(content: dict[str, Any]) -> bool:
    return content["role"] == "user" and not has(content, "functionResponse")


def check_calls(asked: list[dict[str, Any]], turn: int, *, current: bool) -> None:
    found = asked[0].get("thoughtSignature") if asked else None
    if asked and found is None and current:
        raise refuse("The first call of a turn has no thought signature.")
    if found is not None and found.replace("-", "+").replace("_", "/") != seal(turn, "call"):
        raise refuse("The thought signature of a call is not the one that was given out.")


def check_answers(asked: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
    if len(asked) != len(answers):
        raise refuse(f"A turn of {len(asked)} calls is followed by {len(answers)} responses.")
    if sorted(name(part, "functionResponse") for part in answers) != sorted(
        name(part, "functionCall") for part in asked
    ):
        raise refuse("A response has the name of no call.")
    known = {part["functionCall"]["id"] for part in asked if "id" in part["functionCall"]}
    if not {part["functionResponse"]["id"] for part in answers if "id" in part["functionResponse"]} <= known:
        raise refuse("A response has the id of no call.")


def name(part: dict[str, Any], kind: str) -> str:
    return str(part[kind]["name"])
