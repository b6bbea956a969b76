"""The workflow's state at its top level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from toolslot_llamaindex._edits import Missing

#: the agent's memory: it is rebuilt from the messages, never taken from the state
MEMORY = "memory"


def top_of(path: str) -> str:
    """The key at the top level that the path goes through."""
    return path.partition(".")[0]


def items_of(state: Any) -> dict[str, Any]:
    """The state's top level, without the memory; of a typed state its fields."""
    fields = cast("Mapping[str, Any]", getattr(cast("object", type(state)), "model_fields", {}))
    items = {name: getattr(state, name) for name in fields}
    data: object = getattr(state, "_data", None)
    if isinstance(data, dict):
        items |= cast("dict[str, Any]", data)
    items.pop(MEMORY, None)
    return items


async def write(values: Mapping[str, object], store: Any) -> None:
    """Put these values at the top level of the state; `MISSING` removes what is there."""
    for key, value in values.items():
        if not isinstance(value, Missing) and key and "." not in key:
            await store.set(key, value)
            continue
        async with store.edit_state() as state:
            data: object = getattr(state, "_data", None)
            if isinstance(data, dict):
                cast("dict[str, Any]", data).pop(key, None)
                if not isinstance(value, Missing):
                    data[key] = value
