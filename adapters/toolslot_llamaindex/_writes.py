"""The record of a change of the workflow's state."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """One change of the state. `path` is where, None for all of it; `data` what was put there, encoded, None for "removed".

    A list may stand there as `items`, each encoded by itself: they come after the first `kept` of what was recorded for that path last.
    """

    path: str | None
    data: bytes | None = None
    kept: int = 0
    items: tuple[bytes, ...] | None = None
