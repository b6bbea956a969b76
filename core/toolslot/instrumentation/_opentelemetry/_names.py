"""Every name that OpenTelemetry sees.

Those of the GenAI conventions are still in development there; a change is made here and nowhere else.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "toolslot"

# --- GenAI semantic conventions -----------------------------------------------------------------------------------------

EXECUTE_TOOL: Final = "execute_tool"
OPERATION_NAME: Final = "gen_ai.operation.name"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
#: sensitive
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
ERROR_TYPE: Final = "error.type"
#: what `error.type` says of an error without a known type
OTHER_ERROR: Final = "_OTHER"
EXECUTE_TOOL_DURATION: Final = "gen_ai.execute_tool.duration"

# --- ours ---------------------------------------------------------------------------------------------------------------

BATCH_SPAN: Final = "toolslot.batch"
RUN_ID: Final = "toolslot.run.id"
BATCH_ID: Final = "toolslot.batch.id"
ADAPTER: Final = "toolslot.adapter"
BATCH_SIZE: Final = "toolslot.batch.size"
BATCH_REPLAYED: Final = "toolslot.batch.replayed"
BATCH_CLOSED: Final = "toolslot.batch.closed"
EPOCH: Final = "toolslot.epoch"
SLOT_INDEX: Final = "toolslot.slot.index"
ATTEMPT: Final = "toolslot.attempt"
#: executed, replayed, deduplicated, refused, failed, waiting, unknown or resolved
OUTCOME: Final = "toolslot.outcome"
QUEUE_MS: Final = "toolslot.queue_ms"
#: why an outcome is unknown
REASON: Final = "toolslot.reason"
#: what a running call said of itself
NOTE: Final = "toolslot.note"
QUEUE_DURATION: Final = "toolslot.queue.duration"
RUNNING: Final = "toolslot.calls.running"
REPLAYS: Final = "toolslot.calls.replayed"
UNKNOWNS: Final = "toolslot.calls.unknown"

# --- how others mark the span of a tool ---------------------------------------------------------------------------------

#: attribute and value in lower case
TOOL_MARKS: Final = (
    (OPERATION_NAME, EXECUTE_TOOL),
    ("openinference.span.kind", "tool"),
    ("traceloop.span.kind", "tool"),
)
#: what the module of a framework's instrumentation has in its name, by adapter
INSTRUMENTED: Final = {
    "langgraph": ("langchain", "langgraph"),
    "llamaindex": ("llama_index", "llamaindex"),
}
