"""Two LlamaIndex agents in an AgentWorkflow, killed after the first has handed over and the second has paid one of two bills.

Run it without arguments. It starts itself twice: the first process dies, the second runs the same again with the same run id. It goes on
in the agent it was handed to, and no model is asked for what it has answered.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from two_lives import Book, die, first_life, in_two_lives

from toolslot import Done, NotDone, Slot, ToolPolicy, current_call
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

# One script for both agents: its n-th answer is for the n-th turn of the conversation.
LLM = ScriptedLLM(
    [
        [("handoff", {"to_agent": "accountant", "reason": "bills"})],
        [("pay", {"bill": "rent"}), ("pay", {"bill": "power"})],
        "Rent and power are paid.",
    ]
)


async def main(folder: Path) -> None:
    book = Book(folder / "book.txt")

    async def pay(bill: str) -> str:
        """Pay a bill."""
        receipt = book.write(current_call().idempotency_key, f"paid {bill}")
        if first_life() and bill == "power":
            await asyncio.to_thread(die)  # the worst moment: the money is gone, and no one here knows
        return receipt

    def was_it_paid(slot: Slot) -> Done | NotDone:
        """Asked on resume, about calls that started and left no record, and about no others."""
        receipt = book.find(slot.idempotency_key)
        print(f"  asked about {slot.args['bill']}: {'it was done' if receipt else 'it was not done'}")
        return Done(receipt) if receipt else NotDone()

    desk = FunctionAgent(
        name="desk", description="Answers questions.", llm=LLM, can_handoff_to=["accountant"]
    )
    accountant = FunctionAgent(name="accountant", description="Pays bills.", tools=[pay], llm=LLM)
    workflow = durable(  # the one changed line
        AgentWorkflow(agents=[desk, accountant], root_agent="desk"),
        policies={"pay": ToolPolicy(reconcile=was_it_paid)},
    )
    print(f"  {await workflow.run(user_msg='Pay my bills.', run_id='bills-may')}")
    print(f"  the model was asked {LLM.asked} times")
    workflow.toolslot_executor.journal.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(Path(sys.argv[2])))
    else:
        in_two_lives(__file__)
