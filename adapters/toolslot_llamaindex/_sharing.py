"""What an answer of an agent's says in every host, and whether a tool's code was entered: for calls with an effect key."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any, cast

from llama_index.core.tools import ToolOutput
from pydantic import ValidationError

from toolslot.hosting import Content
from toolslot_llamaindex._codec import Answer


class LlamaIndexContents:
    """Outputs as the text that the model sees; `raw_output` goes along where it can be stored."""

    def to_content(self, value: object) -> Content:
        if not isinstance(value, Answer):
            return Content(_text(value))
        output = value.output
        text = output.content
        return Content(text, None if output.raw_output == text else output.raw_output, output.is_error)

    def from_content(self, content: Content) -> object:
        """The tool's name and input are put in where it is handed out."""
        text = _text(content.content)
        raw = text if content.artifact is None else content.artifact
        return ToolOutput(content=text, tool_name="", raw_input={}, raw_output=raw, is_error=content.error)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):  # blocks
        blocks = cast("list[object]", value)
        texts = [block.get("text") for block in map(_as_dict, blocks)]
        if texts and all(isinstance(text, str) for text in texts):
            return "\n".join(cast("list[str]", texts))
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_dict(block: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", block) if isinstance(block, dict) else {"text": block}


def certainly_not_entered(tool: Any, arguments: Mapping[str, Any], error: BaseException | None) -> bool:
    """Whether the tool's code was not entered, for its function does not take the arguments of the model."""
    if not isinstance(error, (TypeError, ValidationError)):
        return False
    function = getattr(tool, "real_fn", None) or getattr(tool, "fn", None)
    if not callable(function):
        return False
    given: dict[str, Any] = {
        **(getattr(tool, "default_arguments", None) or {}),
        **(getattr(tool, "partial_params", None) or {}),
    }
    try:
        signature = inspect.signature(function)
        context = getattr(tool, "ctx_param_name", None)
        named: dict[str, Any] = {**given, **arguments}
        if isinstance(context, str) and context in signature.parameters:
            named[context] = None
        signature.bind(**named)
    except TypeError:
        return True
    except ValueError:  # a signature that cannot be read says nothing
        return False
    return False
