"""The servers that stand for providers refuse what the providers refuse; else the tests beside this one could not fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clients import script
from clients.apis import anthropic, bedrock
from clients.apis.gemini import Gemini, seal
from clients.apis.mistral import Mistral
from clients.apis.ollama import Ollama
from clients.apis.openai_chat import OpenAIChat
from clients.apis.openai_responses import ENCRYPTED, OpenAIResponses
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


def item_call(call: str, **more: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call, "name": "pay", "arguments": "{}", **more}


def item_output(call: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call, "output": "paid"}


def thoughts(**more: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_0", "summary": [], **more}


@pytest.mark.parametrize(
    ("items", "why"),
    [
        pytest.param([USER, item_output("a")], "no call", id="an output without its call"),
        pytest.param([USER, item_call("a")], "no output", id="a call without its output"),
        pytest.param(
            [USER, item_call("a", id="fc_0_0"), item_output("a")],
            "reasoning",
            id="a call without its reasoning",
        ),
        pytest.param(
            [USER, thoughts(), item_call("a"), item_output("a")], "nothing is kept", id="not stored"
        ),
        pytest.param(
            [USER, thoughts(encrypted_content="changed"), item_call("a"), item_output("a")],
            "not the one",
            id="changed reasoning",
        ),
        pytest.param(
            [USER, thoughts(encrypted_content=f"{ENCRYPTED}0"), USER], "what it led to", id="reasoning alone"
        ),
    ],
)
def test_openai_responses_refuses(items: list[Any], why: str) -> None:
    assert why in refused(OpenAIResponses(), "/v1/responses", {"input": items, "store": False})


def test_openai_responses_knows_no_response_of_before() -> None:
    body = {"input": [USER], "previous_response_id": "resp_0"}
    assert "no such response" in refused(OpenAIResponses(), "/v1/responses", body)


THOUGHT = {"type": "thinking", "thinking": script.THOUGHT, "signature": anthropic.signature(0)}


def uses(*ids: str, first: Any = THOUGHT) -> dict[str, Any]:
    asked = [{"type": "tool_use", "id": one, "name": "pay", "input": {}} for one in ids]
    return {"role": "assistant", "content": [*([first] if first else []), *asked]}


def results(*ids: str) -> dict[str, Any]:
    found = [{"type": "tool_result", "tool_use_id": one, "content": "paid"} for one in ids]
    return {"role": "user", "content": found}


@pytest.mark.parametrize(
    ("conversation", "why"),
    [
        pytest.param([USER, results("a")], "without its tool use", id="a result without its use"),
        pytest.param([USER, uses("a", "b"), results("a")], "no result", id="a use without its result"),
        pytest.param([USER, uses("a"), USER, results("a")], "no result", id="a result too late"),
        pytest.param([USER, uses("a", first=None), results("a")], "begin with a thought", id="no thought"),
        pytest.param(
            [USER, uses("a", first={**THOUGHT, "signature": "x"}), results("a")],
            "signature",
            id="another signature",
        ),
        pytest.param(
            [USER, uses("a", first={**THOUGHT, "thinking": "x"}), results("a")],
            "signature",
            id="another thought",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "text", "text": ""}]}], "empty", id="nothing said"
        ),
    ],
)
def test_anthropic_refuses(conversation: list[Any], why: str) -> None:
    body = {"messages": conversation, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    assert why in refused(anthropic.Anthropic(), "/v1/messages", body)


def short_call(*ids: str) -> dict[str, Any]:
    return {**chat_call(*ids), "content": ""}


@pytest.mark.parametrize(
    ("conversation", "why"),
    [
        pytest.param([USER, chat_answer("a")], "after role 'user'", id="an answer without its call"),
        pytest.param([USER, short_call("abcdefgh1"), USER], "as many", id="a call without its answer"),
        pytest.param(
            [USER, short_call("call_0001"), chat_answer("call_0001")], "nine", id="another kind of id"
        ),
        pytest.param([USER, short_call("abcdefgh1"), chat_answer("abcdefgh2")], "its call", id="another id"),
        pytest.param([USER, {"role": "assistant", "content": ""}], "neither", id="nothing said"),
    ],
)
def test_mistral_refuses(conversation: list[Any], why: str) -> None:
    assert why in refused(Mistral(), "/v1/chat/completions", {"messages": conversation})


def test_ollama_refuses_arguments_that_are_a_text() -> None:
    assert "no object" in refused(Ollama(), "/api/chat", {"messages": [USER, short_call("a")]})


def bedrock_uses(*ids: str, seal: str = "") -> dict[str, Any]:
    thought = {"reasoningText": {"text": "so", "signature": seal or bedrock.signature(0)}}
    asked = [{"toolUse": {"toolUseId": one, "name": "pay", "input": {}}} for one in ids]
    return {"role": "assistant", "content": [{"reasoningContent": thought}, *asked]}


def bedrock_results(*ids: str) -> dict[str, Any]:
    content = [{"toolResult": {"toolUseId": one, "content": [{"text": "paid"}]}} for one in ids]
    return {"role": "user", "content": content}


ASKS = {"role": "user", "content": [{"text": "Pay."}]}


@pytest.mark.parametrize(
    ("conversation", "why"),
    [
        pytest.param([ASKS, ASKS], "take turns", id="the same role twice"),
        pytest.param([bedrock_results("a")], "without a tool use", id="a result without its use"),
        pytest.param(
            [ASKS, bedrock_uses("a", "b"), bedrock_results("a")], "no result", id="a use without its result"
        ),
        pytest.param(
            [ASKS, bedrock_uses("a", seal="x"), bedrock_results("a")], "signature", id="another signature"
        ),
    ],
)
def test_bedrock_refuses(conversation: list[Any], why: str) -> None:
    assert why in refused(bedrock.Bedrock(), "/model/claude/converse", {"messages": conversation})
