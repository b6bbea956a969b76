"""How many, in words."""

from __future__ import annotations


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 batch`, `2 batches`; `many` is for words that take more than an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
