"""Three calls at once without any framework, killed when two are done and the third has paid but not returned.

Run it without arguments. It starts itself twice: the first process dies, the second runs the same batch again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from two_lives import Book, die, first_life, in_two_lives

from toolslot import Batch, Call, Done, DurableExecutor, NotDone, Slot, ToolPolicy, current_call

BATCH = Batch(
    run_id="trip-1",
    batch_id="booking",
    calls=[
        Call(tool="book_hotel", args={"city": "Oslo"}),
        Call(tool="book_flight", args={"city": "Oslo"}),
        Call(tool="charge_card", args={"euros": 740}),
    ],
)


def main(folder: Path) -> None:
    book = Book(folder / "book.txt")

    def book_hotel(city: str) -> str:
        return book.write(current_call().idempotency_key, f"hotel in {city}")

    def book_flight(city: str) -> str:
        return book.write(current_call().idempotency_key, f"flight to {city}")

    def charge_card(euros: int) -> str:
        receipt = book.write(current_call().idempotency_key, f"{euros} euros paid")
        if first_life():
            die()  # the worst moment: the money is gone, and no one here knows
        return receipt

    def was_it_charged(slot: Slot) -> Done | NotDone:
        """Asked on resume, about calls that started and left no record, and about no others."""
        receipt = book.find(slot.idempotency_key)
        print(f"  asked about {slot.tool}: {'it was done' if receipt else 'it was not done'}")
        return Done(receipt) if receipt else NotDone()

    executor = DurableExecutor(default_policy=ToolPolicy(reconcile=was_it_charged))
    tools = {"book_hotel": book_hotel, "book_flight": book_flight, "charge_card": charge_card}
    for result in executor.run_all(BATCH, tools):
        print(f"  {result}")
    executor.journal.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[2]))
    else:
        in_two_lives(__file__)
