"""A durable LlamaIndex agent. Run it twice: the second time it gives the same answer, and no one is paid again.

It needs no key: the model answers from a script. In your program it is the LLM you use now.
"""

from __future__ import annotations

import asyncio

from llama_index.core.agent.workflow import FunctionAgent

from toolslot import ToolPolicy, current_call
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

llm = ScriptedLLM(
    [[("pay", {"to": "Ann", "euros": 10}), ("pay", {"to": "Bob", "euros": 20})], "Both are paid."]
)


async def pay(to: str, euros: int) -> str:
    """Pays a person."""
    print(f"paying {to} {euros} EUR, idempotency key {current_call().idempotency_key}")
    return f"paid {to}"


async def main() -> None:
    plain = FunctionAgent(tools=[pay], llm=llm)
    agent = durable(plain, journal="./.toolslot", policies={"pay": ToolPolicy(on_unknown="ask")})
    print(await agent.run(user_msg="Pay Ann and Bob", run_id="order-17"))


if __name__ == "__main__":
    asyncio.run(main())
