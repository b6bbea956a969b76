"""What LangChain's callbacks, and so tracers and `stream_mode="tools"`, hear of calls whose recorded answer is handed out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.messages import ToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool

from toolslot import BatchRun
from toolslot.hosting import Consult, Steps
from toolslot_langgraph._compat import inputs_of

_COLOR = "green"


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """A call whose code did not run here.

    `tool` is None where the node has no such tool, `config` is what the tool would have got, and `facts` are what `facts_of` gives.
    """

    tool: BaseTool | None
    call: ToolCall
    config: RunnableConfig
    facts: Mapping[str, object]


def facts_of(run: BatchRun, index: int) -> dict[str, object]:
    """Metadata by which a trace tells a replay from a live call: of the attempt that ran, when it ran (UTC, ISO 8601), and its key."""
    slot = run.slot(index)
    return {
        "durable_replayed": True,
        "durable_state": slot.state.value,
        "durable_attempt": slot.attempt,
        "durable_idempotency_key": run.view(index).idempotency_key,
        **_when("durable_started_at", slot.started_at),
        **_when("durable_ended_at", slot.ended_at),
    }


def telling_replayed(replay: Replay, output: object, *, awaits: bool) -> Steps[None]:
    """Tell the callbacks that the tool started and ended, as `BaseTool.run` does, one right after the other.

    Args:
        replay: The call. Nothing is told without a tool, as ToolNode tells nothing of tools it does not have.
        output: What the agent gets. A message that tells of an error ends the tool like any other, for whether its tool or its node made
            it is not recorded; an exception, such as `ParentCommand`, is told as the tool's error.
        awaits: Whether the run is async.

    Raises:
        Exception: whatever a handler with `raise_error` set raises.
    """
    if replay.tool is None:
        return
    config = ensure_config(replay.config)
    managers: Any = AsyncCallbackManager if awaits else CallbackManager
    manager = managers.configure(**_settings(replay, replay.tool, config))
    run: Any = yield Consult(partial(manager.on_tool_start, **_start(replay, replay.tool, config)))
    if isinstance(output, BaseException):
        yield Consult(partial(run.on_tool_error, output, tool_call_id=replay.call["id"]))
    else:
        yield Consult(partial(run.on_tool_end, output, color=_COLOR, name=replay.tool.name))


def _settings(replay: Replay, tool: BaseTool, config: RunnableConfig) -> dict[str, Any]:
    return {
        "inheritable_callbacks": config.get("callbacks"),
        "local_callbacks": tool.callbacks,
        "verbose": tool.verbose,
        "inheritable_tags": config.get("tags"),
        "local_tags": tool.tags,
        "inheritable_metadata": config.get("metadata"),
        "local_metadata": {**(tool.metadata or {}), **replay.facts},
    }


def _start(replay: Replay, tool: BaseTool, config: RunnableConfig) -> dict[str, Any]:
    inputs = inputs_of(tool, replay.call["args"])
    return {
        "serialized": {"name": tool.name, "description": tool.description},
        "input_str": str(inputs),
        "color": _COLOR,
        "name": config.get("run_name"),
        "run_id": config.get("run_id"),
        "inputs": inputs,
        "tool_call_id": replay.call["id"],
    }


def _when(name: str, seconds: float | None) -> dict[str, str]:
    if seconds is None:
        return {}
    return {name: datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat()}
