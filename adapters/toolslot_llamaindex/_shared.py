"""What a durable agent has beside its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

from toolslot import DurableExecutor
from toolslot.hosting import Notices
from toolslot_llamaindex._blocks import Once
from toolslot_llamaindex._codec import LlamaIndexCodec
from toolslot_llamaindex._compat import workflow_run_id
from toolslot_llamaindex._known import Models
from toolslot_llamaindex._turns import Run, Runs


class Durable:
    """One object, shared by the runs of an agent."""

    def __init__(
        self,
        executor: DurableExecutor,
        codec: LlamaIndexCodec,
        max_parallel: int | None,
        models: Models,
        *,
        refuses_others: bool = True,
        enters_at_once: bool = False,
    ) -> None:
        self.executor = executor
        self.codec = codec
        self.models = models
        #: whether a run that another agent has begun is refused
        self.refuses_others = refuses_others
        #: what the users of the agent are told once
        self.notices = Notices()
        self._steps: tuple[object, object, Mapping[str, Any]] | None = None
        self.runs = Runs(
            lambda run_id, durable: Run(
                run_id,
                executor,
                codec.values,
                durable=durable,
                max_parallel=max_parallel,
                enters_at_once=enters_at_once,
            )
        )

    def __deepcopy__(self, _: object) -> Durable:
        """Itself: copies of an agent have one journal."""
        return self

    def archiving(self) -> Once:
        """How blocks of a memory archive once, for every run that has the memory."""

        async def once(block: str, messages: list[ChatMessage], put: Callable[[], Awaitable[None]]) -> None:
            run = self.runs.find(workflow_run_id())
            if run is None or not run.durable:
                await put()
                return
            # Without what is noted in them meanwhile: blocks write the session's id into messages.
            said = [[message.role, message.blocks] for message in messages]
            await run.once(f"memory:{block}", run.values.digest(said), put)

        return once

    def steps(self, agent: object, find: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The agent's steps, looked for once, and again when one was added to its class."""
        version: object = getattr(agent, "_step_functions_version", None)
        kept = self._steps
        if kept is None or kept[0] is not agent or kept[1] != version:
            kept = self._steps = agent, version, find()
        return dict(kept[2])
