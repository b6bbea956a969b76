"""An agent of `create_agent`, killed while a payment is under way; on resume a person is asked about this payment, and about no other call.

Run it without arguments, or with `middleware` for the second way to make an agent durable.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from scripted import ScriptedModel, call
from two_lives import Book, die, first_life, in_two_lives

from toolslot import ToolPolicy, current_call
from toolslot_langgraph import DurableToolMiddleware, make_durable

MODEL = ScriptedModel(
    script=[
        [call("balance", account="main"), call("pay", invoice="A-1"), call("pay", invoice="A-2")],
        "Both invoices are paid.",
    ]
)
POLICIES = {
    "pay": ToolPolicy(on_unknown="ask"),
    "balance": ToolPolicy(idempotent=True),  # reading twice does no harm
}


def build(folder: Path, saver: SqliteSaver) -> Any:
    """The agent, over what the folder holds."""
    book = Book(folder / "book.txt")

    def balance(account: str) -> str:
        """The balance of an account."""
        return f"5000 on {account}"

    def pay(invoice: str) -> str:
        """Pay an invoice."""
        receipt = book.write(current_call().idempotency_key, f"{invoice} paid")
        if first_life() and invoice == "A-2":
            die()
        return receipt

    if "middleware" in sys.argv:
        durable = DurableToolMiddleware(policies=POLICIES)
        return create_agent(MODEL, [balance, pay], middleware=[durable], checkpointer=saver)

    agent = create_agent(MODEL, [balance, pay], checkpointer=saver)
    return make_durable(agent, policies=POLICIES)


def main(folder: Path) -> None:
    config: Any = {"configurable": {"thread_id": "invoices-7"}}
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        agent = build(folder, saver)
        if first_life():
            agent.invoke({"messages": [("user", "Pay A-1 and A-2.")]}, config)
            return

        answer = agent.invoke(None, config)
        (interrupt,) = answer["__interrupt__"]
        (question,) = interrupt.value["questions"]
        print(f"  asked about {question['tool']}, call id {question['call_id']}: {question['reason']}")

        # Here a person looks into the bank's books for this key.
        receipt = Book(folder / "book.txt").find(question["idempotency_key"])
        decision = {"done": receipt} if receipt else "rerun"
        print(f"  answered: {decision}")

        answer = agent.invoke(Command(resume={question["id"]: decision}), config)
        for message in answer["messages"][2:]:
            print(f"  {message.type}: {message.text}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(Path(sys.argv[2]))
    else:
        in_two_lives(__file__, *sys.argv[1:])
