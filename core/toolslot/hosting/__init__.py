"""What makes a framework a host: what every adapter needs beside `DurableExecutor` and `BatchRun`, and nothing that a tool's author needs.

The adapters for LangGraph and LlamaIndex are made of this and of `toolslot`, `toolslot.journal` and `toolslot.instrumentation` alone.
"""

from __future__ import annotations

from toolslot._batch._call_task import CallTask, in_thread
from toolslot._batch._crew import drive_all, settle
from toolslot._batch._steps import Await, Consult, Pause, Steps, adrive, drive
from toolslot._codec import MAX_DEPTH, MAX_WEIGHT, Content, Contents, weight_exceeds
from toolslot._codec._text import one_line, qualified_name
from toolslot._domain._identity import args_digest
from toolslot._domain._policy import check_seconds
from toolslot._text import quoted, shown
from toolslot.hosting._executors import ajournal, executor_for
from toolslot.hosting._mcp import MCP_HEADER, MCP_META, sending_key
from toolslot.hosting._notices import Notices
from toolslot.hosting._questions import Decision, Question, is_question_id, read_answer
from toolslot.hosting._streaming import EventStream
from toolslot.hosting._values import CONTAINER_WEIGHT, PLAIN_TYPES

__all__ = [
    "CONTAINER_WEIGHT",
    "MAX_DEPTH",
    "MAX_WEIGHT",
    "MCP_HEADER",
    "MCP_META",
    "PLAIN_TYPES",
    "Await",
    "CallTask",
    "Consult",
    "Content",
    "Contents",
    "Decision",
    "EventStream",
    "Notices",
    "Pause",
    "Question",
    "Steps",
    "adrive",
    "ajournal",
    "args_digest",
    "check_seconds",
    "drive",
    "drive_all",
    "executor_for",
    "in_thread",
    "is_question_id",
    "one_line",
    "qualified_name",
    "quoted",
    "read_answer",
    "sending_key",
    "settle",
    "shown",
    "weight_exceeds",
]
