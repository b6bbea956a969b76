"""A supervisor whose tools are agents: each model response, the supervisor's and the sub-agents', is a batch with slots of its own.

The process dies inside the second sub-agent, after its second payment. On resume the first sub-agent's answer is replayed; the second
sub-agent is entered again and goes on where it stood: its first payment is replayed, and its second settled by the reconciler.

Run it without arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.sqlite import SqliteSaver
from scripted import ScriptedModel, call
from two_lives import Book, die, first_life, in_two_lives

from toolslot import Done, NotDone, Slot, ToolPolicy, current_call
from toolslot_langgraph import durable_nodes, make_durable

SUPERVISOR = ScriptedModel(
    script=[
        [call("research", topic="hotels"), call("accounting", task="pay the suppliers")],
        "The hotels are found and the suppliers are paid.",
    ]
)
RESEARCHER = ScriptedModel(
    script=[[call("search", words="hotels in Oslo"), call("search", words="hotels in Bergen")], "Two found."]
)
ACCOUNTANT = ScriptedModel(
    script=[[call("pay", supplier="Ann"), call("pay", supplier="Bob")], "Both suppliers are paid."]
)


def build(folder: Path, saver: SqliteSaver) -> Any:
    """The supervisor, over what the folder holds."""
    book = Book(folder / "book.txt")

    def search(words: str) -> str:
        """Search the web."""
        return book.write(current_call().idempotency_key, f"searched {words}")

    def pay(supplier: str) -> str:
        """Pay a supplier."""
        receipt = book.write(current_call().idempotency_key, f"{supplier} paid")
        if first_life() and supplier == "Bob":
            die()
        return receipt

    def was_it_paid(slot: Slot) -> Done | NotDone:
        receipt = book.find(slot.idempotency_key)
        print(f"  asked about {slot.tool} of {slot.args['supplier']}")
        return Done(receipt) if receipt else NotDone()

    # The sub-agents save their steps where the supervisor does: an agent without a checkpointer takes that of the agent around it.
    researcher = create_agent(RESEARCHER, [search])
    accountant = create_agent(ACCOUNTANT, [pay])

    def research(topic: str) -> str:
        """Ask the researcher."""
        return str(researcher.invoke({"messages": [("user", topic)]})["messages"][-1].text)

    def accounting(task: str) -> str:
        """Ask the accountant."""
        print("  the accountant is called", flush=True)
        return str(accountant.invoke({"messages": [("user", task)]})["messages"][-1].text)

    supervisor = create_agent(SUPERVISOR, [research, accounting], checkpointer=saver)
    # The sub-agents are reached through the tools that use them. A tool that runs an agent is entered again: what it did is in its slots.
    return make_durable(supervisor, policies={"pay": ToolPolicy(reconcile=was_it_paid)})


def main(folder: Path) -> None:
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        supervisor = build(folder, saver)
        if first_life():
            print(f"  durable: {', '.join(durable_nodes(supervisor))}", flush=True)
        question = {"messages": [("user", "Find hotels and pay the suppliers.")]} if first_life() else None
        answer = supervisor.invoke(question, {"configurable": {"thread_id": "trip-2"}})
        for message in answer["messages"][2:]:
            print(f"  {message.type}: {message.text}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[2]))
    else:
        in_two_lives(__file__)
