"""A StateGraph with three tool calls at once, killed when two are done and the third has paid but not returned.

Run it without arguments. It starts itself twice: the first process dies, the second resumes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition
from scripted import ScriptedModel, call
from two_lives import Book, die, first_life, in_two_lives

from toolslot import Done, NotDone, Slot, ToolPolicy, current_call
from toolslot_langgraph import DurableParallelToolNode

MODEL = ScriptedModel(
    script=[
        [call("book_hotel", city="Oslo"), call("book_flight", city="Oslo"), call("charge_card", euros=740)],
        "Your trip to Oslo is booked and paid.",
    ]
)


def build(folder: Path, saver: SqliteSaver) -> Any:
    """The agent, over what the folder holds."""
    book = Book(folder / "book.txt")

    def book_hotel(city: str) -> str:
        """Book a hotel."""
        return book.write(current_call().idempotency_key, f"hotel in {city}")

    def book_flight(city: str) -> str:
        """Book a flight."""
        return book.write(current_call().idempotency_key, f"flight to {city}")

    def charge_card(euros: int) -> str:
        """Charge the customer's card."""
        receipt = book.write(current_call().idempotency_key, f"{euros} euros paid")
        if first_life():
            die()  # the worst moment: the money is gone, and no one here knows
        return receipt

    def was_it_charged(slot: Slot) -> Done | NotDone:
        """Asked on resume, about calls that started and left no record, and about no others."""
        receipt = book.find(slot.idempotency_key)
        print(f"  asked about {slot.tool}: {'it was done' if receipt else 'it was not done'}")
        return Done(receipt) if receipt else NotDone()

    def ask_model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [MODEL.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", ask_model)
    graph.add_node(
        "tools",
        DurableParallelToolNode(  # was: ToolNode([book_hotel, book_flight, charge_card])
            [book_hotel, book_flight, charge_card],
            default_policy=ToolPolicy(reconcile=was_it_charged),
        ),
    )
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver)


def main(folder: Path) -> None:
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        agent = build(folder, saver)
        question = {"messages": [("user", "Book my trip to Oslo.")]} if first_life() else None
        answer = agent.invoke(question, {"configurable": {"thread_id": "trip-1"}})
        for message in answer["messages"][2:]:
            replayed = " (replayed)" if "toolslot" in message.response_metadata else ""
            print(f"  {message.type}: {message.text}{replayed}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[2]))
    else:
        in_two_lives(__file__)
