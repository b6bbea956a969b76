"""What can be said about durability, the same words in every door."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp

from toolslot import Adopt, Codec, DurableExecutor, Hook, InvalidSetting, Journal, Limits, ToolPolicy
from toolslot.hosting import check_seconds, executor_for
from toolslot_langgraph._codec import AllowedType, LangGraphCodec
from toolslot_langgraph._compat import CANCELS
from toolslot_langgraph._contents import LangGraphContents
from toolslot_langgraph._hints import hinted_policies
from toolslot_langgraph._streaming import stream

OnFork: TypeAlias = Literal["adopt_unfinished", "rerun", "replay"]
OnMissing: TypeAlias = Literal["run", "fail"]


class DurableOptions(TypedDict, total=False):
    """Keywords of `DurableParallelToolNode`, `make_durable` and `DurableToolMiddleware`.

    Keys:
        journal: A path, an address, a `Journal`, or None (default): the environment variable `TOOLSLOT_HOME`, else `./.toolslot`.
            Opened at first use.
        policies: What is known about each tool, by name. They come before what an MCP server says about its tools.
        default_policy: For every other tool.
        limits: How many calls may run at once, and for how long. The graph's own `max_concurrency` holds as well, also for async calls.
        on_fork: What to do with an earlier batch of the same model response under another checkpoint, as a resume that names a checkpoint
            and time travel make it: take it over unless the thread has gone on from it ("adopt_unfinished", the default), run everything
            again ("rerun"), or never repeat an effect ("replay").
        on_missing: What to do when the saved conversation has answers to calls of which the journal has no record (another directory, a
            wiped disk, another identity): "run" the calls with a warning, which is the default, or "fail" with `RecordMissing`.
        answer_timeout: Seconds to wait, before the first call of a model's answer begins, until the graph's saver holds that answer; then
            `ResponseNotSaved`. Default 30; None waits for ever.
        hooks: Called with every event. Default: one `LoggingHook`.
        codec: How results are stored. Default: `LangGraphCodec(allowed_types)`.
        allowed_types: Classes of artifacts and state that may be made again from stored data.
        replay_callbacks: Tell LangChain's callbacks of replayed calls too, marked `durable_replayed` in their metadata. Default False:
            nothing ran, so nothing is told.
        stream_events: Write the events of calls to `stream_mode="custom"` as well. Default False.
    """

    journal: str | os.PathLike[str] | Journal | None
    policies: Mapping[str, ToolPolicy] | None
    default_policy: ToolPolicy | None
    limits: Limits | None
    on_fork: OnFork
    on_missing: OnMissing
    answer_timeout: float | None
    hooks: Sequence[Hook] | None
    codec: Codec | None
    allowed_types: Iterable[AllowedType]
    replay_callbacks: bool
    stream_events: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options, checked.

    Raises:
        InvalidSetting: an option that means nothing.
    """

    journal: str | os.PathLike[str] | Journal | None = None
    policies: Mapping[str, ToolPolicy] | None = None
    default_policy: ToolPolicy | None = None
    limits: Limits | None = None
    on_fork: OnFork = "adopt_unfinished"
    on_missing: OnMissing = "run"
    answer_timeout: float | None = 30.0
    hooks: Sequence[Hook] | None = None
    codec: Codec | None = None
    allowed_types: Iterable[AllowedType] = ()
    replay_callbacks: bool = False
    stream_events: bool = False

    def __post_init__(self) -> None:
        if self.on_fork not in [choice.value for choice in Adopt]:
            raise InvalidSetting(
                f"on_fork={self.on_fork!r} is not known: choose 'adopt_unfinished', 'rerun' or 'replay'."
            )

        if self.on_missing not in ("run", "fail"):
            raise InvalidSetting(f"on_missing={self.on_missing!r} is not known: choose 'run' or 'fail'.")

        check_seconds("answer_timeout", self.answer_timeout)

    @property
    def adopt(self) -> Adopt:
        return Adopt(self.on_fork)

    def executor(self, tools: Iterable[BaseTool]) -> DurableExecutor:
        """An executor for these tools; what they say about themselves counts where no policy is given."""
        return executor_for(
            self.journal,
            policies={**hinted_policies(tools), **(self.policies or {})},
            default_policy=self.default_policy,
            limits=self.limits,
            hooks=self.hooks,
            codec=self.codec if self.codec is not None else LangGraphCodec(self.allowed_types),
            pauses=(GraphBubbleUp,),
            cancels=CANCELS,
            contents=LangGraphContents(),
            stream=stream if self.stream_events else None,
        )
