"""The frameworks whose agents the demo can kill. They are named here, not imported: the core knows no framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True, slots=True)
class Framework:
    """What the demo has to know of one framework.

    `agent` is the module that is run with `python -m`; `needed` are distributions that only it imports, and `install` brings them. The rest
    is what the two sides are called, and what is said of them.
    """

    name: str
    agent: str
    needed: tuple[str, ...]
    install: str
    plain_short: str
    plain_title: str
    durable_title: str
    both_run: str
    change: str
    import_line: str


_LANGGRAPH = Framework(
    name="langgraph",
    agent="toolslot_langgraph._demo_agent",
    needed=("langchain-core", "langgraph", "langgraph-checkpoint-sqlite"),
    install='pip install "toolslot[demo]"',
    plain_short="ToolNode",
    plain_title="LangGraph's ToolNode",
    durable_title="toolslot's DurableParallelToolNode",
    both_run="Both sides run the same graph and tools; plain code sends no idempotency key, as is common.",
    change="in your graph, in place of ToolNode",
    import_line="from toolslot_langgraph import DurableParallelToolNode",
)

_LLAMAINDEX = Framework(
    name="llamaindex",
    agent="toolslot_llamaindex._demo_agent",
    needed=("llama-index-core",),
    install="pip install 'toolslot[cli,llamaindex]'",
    plain_short="FunctionAgent",
    plain_title="LlamaIndex's FunctionAgent",
    durable_title="the same agent, made durable",
    both_run=(
        "Both sides run the same agent and tools, and are started again with the same message: a FunctionAgent keeps nothing on disk, so "
        "the plain one asks its model again. Plain code sends no idempotency key, as is common."
    ),
    change="agent = durable(agent), and agent.run(..., run_id=...)",
    import_line="from toolslot_llamaindex import durable",
)

#: by the name that the command takes
FRAMEWORKS: Mapping[str, Framework] = MappingProxyType(
    {framework.name: framework for framework in (_LANGGRAPH, _LLAMAINDEX)}
)
