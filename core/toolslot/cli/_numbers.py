"""How many, in words."""

from __future__ import annotations

from toolslot._views import noun


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 batch`, `2 batches`."""
    return f"{number} {noun(number, one, many)}"
