"""The agent of `toolslot demo --framework llamaindex`, killed and run again from outside, and its model: no network, no keys.

Both sides run this file: a `FunctionAgent`, or the same made durable. The model also serves the examples and the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from llama_index.core.agent.workflow import BaseWorkflowAgent, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import ToolSelection
from pydantic import PrivateAttr
from typing_extensions import override

from toolslot import Done, NotDone, Slot, ToolPolicy, current_call
from toolslot._demo._client import BankClient
from toolslot._demo._story import AT_ONCE, CALLS, REQUEST
from toolslot_llamaindex._durable import durable

#: one answer: a text, or the calls it asks for, each (tool, arguments) or (tool, arguments, id)
Scripted: TypeAlias = "str | Sequence[tuple[Any, ...]]"

Side = Literal["plain", "durable"]


class ScriptedLLM(FunctionCallingLLM):
    """Gives the answers of `script` one after the other, by how many turns of the assistant the conversation holds since the last user.

    So an agent that resumes in another process gets the answer that belongs to where it is. `heard` keeps the messages of each question.
    """

    _script: list[Scripted] = PrivateAttr()
    _heard: list[list[ChatMessage]] = PrivateAttr(default_factory=lambda: [])
    _before: Callable[[int], None] | None = PrivateAttr(default=None)

    def __init__(self, script: Sequence[Scripted], *, before: Callable[[int], None] | None = None) -> None:
        """`before` is called with the number of the answer, from 0, before it is given; it may raise."""
        super().__init__()
        self._script, self._before = list(script), before

    @property
    def asked(self) -> int:
        """How often the model was asked."""
        return len(self._heard)

    @property
    def heard(self) -> list[list[ChatMessage]]:
        """The messages of each question."""
        return self._heard

    @property
    @override
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True, model_name="scripted")

    def _answer(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        self._heard.append([message.model_copy(deep=True) for message in messages])
        number = sum(1 for message in messages if message.role.value == "assistant")
        if self._before is not None:
            self._before(number)
        said = self._script[min(number, len(self._script) - 1)]
        if isinstance(said, str):
            return ChatResponse(message=ChatMessage(role="assistant", content=said), delta=said)
        calls = [
            {"name": call[0], "args": call[1], "id": call[2] if len(call) > 2 else f"call-{number}-{i}"}
            for i, call in enumerate(said)
        ]
        return ChatResponse(
            message=ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": calls}),
            delta="",
        )

    @override
    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        calls: Sequence[Mapping[str, Any]] = response.message.additional_kwargs.get("tool_calls", ())
        return [
            ToolSelection(tool_id=call["id"], tool_name=call["name"], tool_kwargs=dict(call["args"]))
            for call in calls
        ]

    @override
    def _prepare_chat_with_tools(
        self,
        tools: Any,
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        user = ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg
        return {"messages": [*(chat_history or []), *([user] if user is not None else [])]}

    @override
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer(messages)

    @override
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer(messages)

    @override
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        return iter([self._answer(messages)])

    @override
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        async def stream() -> AsyncGenerator[ChatResponse, None]:
            yield self._answer(messages)

        return stream()

    @override
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(
            text=self._answer([ChatMessage(role="user", content=prompt)]).message.content or ""
        )

    @override
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return self.complete(prompt, formatted, **kwargs)

    @override
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return iter([self.complete(prompt, formatted, **kwargs)])

    @override
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        async def stream() -> AsyncGenerator[CompletionResponse, None]:
            yield self.complete(prompt, formatted, **kwargs)

        return stream()


def build_tools(bank: BankClient, key: Callable[[], str | None]) -> list[Callable[..., Any]]:
    """The tools of both sides. `key` gives the Idempotency-Key to pay with, or None to send none."""
    # A FunctionAgent starts four calls at once, the story has three. Waiters are let in in their order.
    places = asyncio.Semaphore(AT_ONCE)

    async def balance(account: str) -> str:
        """The balance of an account."""
        async with places:
            return str((await asyncio.to_thread(bank.get, "accounts", account))["balance"])

    async def exchange_rate(pair: str) -> str:
        """The exchange rate of a pair such as EUR-USD."""
        async with places:
            return str((await asyncio.to_thread(bank.get, "rates", pair))["rate"])

    async def find_invoice(invoice: str) -> str:
        """Look an invoice up."""
        async with places:
            return str(await asyncio.to_thread(bank.get, "invoices", invoice))

    async def pay(invoice: str, payee: str, cents: int) -> str:
        """Pay an invoice."""

        def order() -> object:
            account = bank.get("payees", payee, invoice=invoice)["account"]
            body = {"invoice": invoice, "payee": payee, "account": account, "cents": cents}
            return bank.post("payments", body, idempotency_key=key())["receipt"]

        async with places:
            return receipt_text(invoice, await asyncio.to_thread(order))

    return [balance, exchange_rate, find_invoice, pay]


def receipt_text(invoice: str, receipt: object) -> str:
    return f"paid {invoice}, receipt {receipt}"


def build_agent(side: Side, bank: BankClient, folder: Path, llm: ScriptedLLM) -> BaseWorkflowAgent:
    """The agent of a side; `durable` is the one difference that matters."""
    if side == "plain":
        return FunctionAgent(tools=[*build_tools(bank, key=lambda: None)], llm=llm)

    def was_it_paid(slot: Slot) -> Done | NotDone:
        """The reconciler: the bank knows whether a payment that left no record was booked."""
        invoice = str(slot.args["invoice"])
        receipt = bank.get("payments", invoice=invoice, key=slot.idempotency_key)["receipt"]
        return NotDone() if receipt is None else Done(receipt_text(invoice, receipt))

    reads = ToolPolicy(idempotent=True)
    return durable(
        FunctionAgent(tools=[*build_tools(bank, key=lambda: current_call().idempotency_key)], llm=llm),
        journal=folder / "journal",
        max_parallel=AT_ONCE,
        policies={
            "pay": ToolPolicy(reconcile=was_it_paid),
            "balance": reads,
            "exchange_rate": reads,
            "find_invoice": reads,
        },
    )


async def answer_all(side: Side, bank: BankClient, folder: Path) -> list[dict[str, object]]:
    """Run the agent to its end, again from the start if it was killed; returns what its model was told of its calls."""

    def count(number: int) -> None:
        bank.post("model", {"asked_for": "a summary" if number else REQUEST})

    llm = ScriptedLLM([[(call.tool, dict(call.args), call.call_id) for call in CALLS], "Done."], before=count)
    agent: Any = build_agent(side, bank, folder, llm)
    # The one other difference: the id under which a durable run is found again.
    known: dict[str, Any] = {"run_id": "invoices"} if side == "durable" else {}
    results: list[Any] = (await agent.run(user_msg=REQUEST, **known)).tool_calls
    failed = {result.tool_id: bool(result.tool_output.is_error) for result in results}
    return [
        {"call_id": call_id, "failed": failed[call_id], "text": message.content or ""}
        for message in llm.heard[-1]
        if message.role.value == "tool"
        for call_id in [str(message.additional_kwargs["tool_call_id"])]
    ]


def main() -> None:
    """Run the agent to its end and write its answers to answers.json in the folder."""
    parser = argparse.ArgumentParser(prog="toolslot_llamaindex._demo_agent")
    # LlamaIndex resumes nothing: both verbs run the same program.
    parser.add_argument("verb", choices=("start", "resume"))
    parser.add_argument("--side", choices=("plain", "durable"), required=True)
    parser.add_argument("--bank", type=int, required=True, metavar="PORT")
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    answers = asyncio.run(answer_all(options.side, BankClient(options.bank), options.folder))
    (options.folder / "answers.json").write_text(json.dumps(answers, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
