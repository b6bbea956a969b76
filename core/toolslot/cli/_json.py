"""Views as JSON. Everything that JSON cannot say, and every character that a terminal could be misled by, is written out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import cast

from toolslot._views import BatchView, CallView, RunView


def line(value: object) -> str:
    """One line of ASCII."""
    return json.dumps(plain(value), allow_nan=False, separators=(", ", ": "))


def document(value: object) -> str:
    """Indented, for a whole answer."""
    return json.dumps(plain(value), allow_nan=False, indent=2)


def plain(value: object) -> object:
    """Made of dicts, lists and JSON's scalars only. What is none of these becomes its `repr`."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if is_dataclass(value) and not isinstance(value, type):
        record = {each.name: plain(getattr(value, each.name)) for each in fields(value)}
        return {**record, **_computed(value)}
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(key.value if isinstance(key, Enum) else key): plain(item) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in cast("Iterable[object]", value)]
    return repr(value)


def _computed(view: object) -> dict[str, object]:
    """What a view computes from its fields."""
    if isinstance(view, RunView):
        return {"state": view.state.value, "pending": len(view.pending)}
    if isinstance(view, BatchView):
        return {"pending": len(view.pending)}
    if isinstance(view, CallView):
        return {"queued": view.queued, "latency": view.latency}
    return {}
