"""What a user is told once when the graph around a node takes durability away."""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig

from toolslot.hosting import Notices
from toolslot_langgraph._compat import durability
from toolslot_langgraph._identity import Place


class NodeNotices(Notices):
    """Warnings of one node or middleware, each given once."""

    def about(self, place: Place, config: RunnableConfig, node: str | None) -> None:
        """Warn if nothing can be replayed here, or not after a crash."""
        if not place.durable:
            self.once(
                "toolslot.not_durable node=%r: it runs without a checkpointer, or outside a graph, so nothing says which run its calls"
                " belong to: nothing is recorded and nothing can be replayed. Compile the graph with a checkpointer and give a thread_id,"
                " or set config['configurable']['durable_run_key'].",
                node,
            )
        elif durability(config) == "exit":
            self.once(
                "toolslot.durability_exit node=%r: with durability='exit' LangGraph saves nothing before the end, so after a crash the"
                " model is asked again and no call is recognised. Use durability='sync' or 'async'.",
                node,
            )
