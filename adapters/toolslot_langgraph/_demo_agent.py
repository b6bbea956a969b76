"""The agent of `toolslot demo`: an ordinary LangGraph program, killed and resumed from outside.

Both sides run this file. They differ in one node: `ToolNode` or `DurableParallelToolNode`.
"""

# LangGraph leaves type parameters of its graph methods open, and marks only some of its packages as typed.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from typing_extensions import override

from toolslot import Done, NotDone, Slot, ToolPolicy, current_call
from toolslot._demo._client import BankClient
from toolslot._demo._story import AT_ONCE, CALLS, REQUEST
from toolslot_langgraph import DurableParallelToolNode

Side = Literal["plain", "durable"]


class ScriptedModel(BaseChatModel):
    """A chat model that needs no key: it asks for the story's calls, then sums up. The bank counts."""

    bank: BankClient

    @property
    @override
    def _llm_type(self) -> str:
        return "toolslot-demo-script"

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answers = [message for message in messages if isinstance(message, ToolMessage)]
        self.bank.post("model", {"asked_for": f"a summary of {len(answers)} answers" if answers else REQUEST})
        if answers:
            failed = sum(answer.status == "error" for answer in answers)
            message = AIMessage(f"Done: {len(answers) - failed} calls succeeded, {failed} failed.")
        else:
            calls = [
                ToolCall(name=call.tool, args=dict(call.args), id=call.call_id, type="tool_call")
                for call in CALLS
            ]
            message = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])


def build_tools(bank: BankClient, key: Callable[[], str | None]) -> list[BaseTool]:
    """The tools of both sides. `key` gives the Idempotency-Key to pay with, or None to send none."""

    @tool
    def balance(account: str) -> str:
        """The balance of an account."""
        return str(bank.get("accounts", account)["balance"])

    @tool
    def exchange_rate(pair: str) -> str:
        """The exchange rate of a pair such as EUR-USD."""
        return str(bank.get("rates", pair)["rate"])

    @tool
    def find_invoice(invoice: str) -> str:
        """Look an invoice up."""
        return str(bank.get("invoices", invoice))

    @tool
    def pay(invoice: str, payee: str, cents: int) -> str:
        """Pay an invoice."""
        account = bank.get("payees", payee, invoice=invoice)["account"]
        order = {"invoice": invoice, "payee": payee, "account": account, "cents": cents}
        receipt = bank.post("payments", order, idempotency_key=key())["receipt"]
        return receipt_text(invoice, receipt)

    return [balance, exchange_rate, find_invoice, pay]


def receipt_text(invoice: str, receipt: object) -> str:
    return f"paid {invoice}, receipt {receipt}"


def tool_node(side: Side, bank: BankClient, folder: Path) -> ToolNode:
    """The one difference between the two sides."""
    if side == "plain":
        return ToolNode(build_tools(bank, key=lambda: None), handle_tool_errors=True)

    def was_it_paid(slot: Slot) -> Done | NotDone:
        """The reconciler: the bank knows whether a payment that left no record was booked."""
        invoice = str(slot.args["invoice"])
        receipt = bank.get("payments", invoice=invoice, key=slot.idempotency_key)["receipt"]
        return NotDone() if receipt is None else Done(receipt_text(invoice, receipt))

    reads = ToolPolicy(idempotent=True)
    return DurableParallelToolNode(
        build_tools(bank, key=lambda: current_call().idempotency_key),
        handle_tool_errors=True,
        journal=folder / "journal",
        policies={
            "pay": ToolPolicy(reconcile=was_it_paid),
            "balance": reads,
            "exchange_rate": reads,
            "find_invoice": reads,
        },
    )


def answer_all(side: Side, bank: BankClient, folder: Path, *, resume: bool) -> Sequence[BaseMessage]:
    """Run the agent to its end, from the start or from its last checkpoint; returns the conversation."""
    model = ScriptedModel(bank=bank)

    def ask_model(state: MessagesState) -> dict[str, list[BaseMessage]]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", ask_model)
    graph.add_node("tools", tool_node(side, bank, folder))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        agent = graph.compile(checkpointer=saver)
        config: RunnableConfig = {"configurable": {"thread_id": "invoices"}, "max_concurrency": AT_ONCE}
        question = None if resume else MessagesState(messages=[HumanMessage(REQUEST)])
        messages: Sequence[BaseMessage] = agent.invoke(question, config, durability="sync")["messages"]
        return messages


def main() -> None:
    """Run the agent to its end and write its answers to answers.json in the folder."""
    parser = argparse.ArgumentParser(prog="toolslot_langgraph._demo_agent")
    parser.add_argument("verb", choices=("start", "resume"))
    parser.add_argument("--side", choices=("plain", "durable"), required=True)
    parser.add_argument("--bank", type=int, required=True, metavar="PORT")
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    messages = answer_all(
        options.side, BankClient(options.bank), options.folder, resume=options.verb == "resume"
    )
    answers = [
        {"call_id": message.tool_call_id, "failed": message.status == "error", "text": message.text}
        for message in messages
        if isinstance(message, ToolMessage)
    ]
    (options.folder / "answers.json").write_text(json.dumps(answers, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
