"""The servers that stand for providers refuse what the providers refuse; else the tests beside this one could not fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clients.apis.gemini import Gemini, seal
from clients.apis.openai_chat import OpenAIChat
from clients.loopback import Api, Refused, Request


def ask(api: Api, path: str, body: Any) -> Any:
    return api.answer(Request(path=path, body=json.dumps(body).encode()))


def refused(api: Api, path: str, body: Any) -> str:
    with pytest.raises(Refused) as found:
        ask(api, path, body)
    assert found.value.reply.status == 400
    return str(found.value)


USER = {"role": "user", "content": "Pay."}


def chat_call(*ids: str) -> dict[str, Any]:
    calls = [{"id": i, "type": "function", "function": {"name": "pay", "arguments": "{}"}} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def chat_answer(call: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call, "content": "paid"}


@pytest.mark.parametrize(
    ("conversation", "why"),
    [
        pytest.param([USER, chat_answer("a")], "answers no call", id="an answer without its call"),
        pytest.param(
            [USER, chat_call("a", "b"), chat_answer("a")], "no tool message", id="a call without its answer"
        ),
        pytest.param(
            [USER, chat_call("a"), USER, chat_answer("a")], "no tool message", id="an answer too late"
        ),
        pytest.param(
            [USER, chat_call("a"), chat_answer("a"), chat_answer("a")], "answers no call", id="two answers"
        ),
        pytest.param([USER, chat_call()], "empty", id="no calls"),
        pytest.param([USER, {"role": "assistant", "content": None}], "content", id="nothing said"),
    ],
)
def test_openai_chat_refuses(conversation: list[Any], why: str) -> None:
    assert why in refused(OpenAIChat(), "/v1/chat/completions", {"messages": conversation})


@pytest.mark.parametrize("streamed", [True, False])
def test_openai_chat_takes_calls_with_their_answers_in_any_order(streamed: bool) -> None:
    conversation = [USER, chat_call("a", "b"), chat_answer("b"), chat_answer("a")]
    reply = ask(OpenAIChat(), "/v1/chat/completions", {"messages": conversation, "stream": streamed})
    assert reply.status == 200


GEMINI = "/v1beta/models/gemini-3-pro-preview:generateContent"
QUESTION = {"role": "user", "parts": [{"text": "Pay."}]}


def gemini_call(*signatures: str | None) -> dict[str, Any]:
    parts = [
        {"functionCall": {"name": "pay", "args": {}}, **({"thoughtSignature": seal} if seal else {})}
        for seal in signatures
    ]
    return {"role": "model", "parts": parts}


def gemini_answer(number: int) -> dict[str, Any]:
    part = {"functionResponse": {"name": "pay", "response": {"result": "paid"}}}
    return {"role": "user", "parts": [part] * number}


@pytest.mark.parametrize(
    ("conversation", "why"),
    [
        pytest.param([QUESTION, gemini_answer(1)], "0 calls", id="an answer without its call"),
        pytest.param(
            [QUESTION, gemini_call(seal(0, "call"), None), gemini_answer(1)],
            "2 calls",
            id="a call without its answer",
        ),
        pytest.param(
            [QUESTION, gemini_call(None), gemini_answer(1)], "no thought signature", id="no signature"
        ),
        pytest.param(
            [QUESTION, gemini_call(seal(1, "call")), gemini_answer(1)], "not the one", id="another signature"
        ),
        pytest.param([QUESTION, {"role": "model", "parts": []}], "without parts", id="nothing said"),
    ],
)
def test_gemini_refuses(conversation: list[Any], why: str) -> None:
    assert why in refused(Gemini(), GEMINI, {"contents": conversation})


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse"])
def test_gemini_takes_as_many_answers_as_calls_and_asks_no_signature_of_earlier_turns(method: str) -> None:
    earlier = [
        QUESTION,
        gemini_call(None, None),
        gemini_answer(2),
        {"role": "model", "parts": [{"text": "Paid."}]},
    ]
    conversation = [*earlier, QUESTION, gemini_call(seal(2, "call"), None), gemini_answer(2)]
    assert ask(Gemini(), GEMINI.replace("generateContent", method), {"contents": conversation}).status == 200
